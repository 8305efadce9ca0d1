"""One run, read from its folder once: whoever looks at a run is handed this.

What is damaged is left out and counted, and the rest is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nas_lightning.files import read_json
from nas_lightning.metrics import Metric
from nas_lightning.runs.folder import BEST, DECLARED, LEDGER
from nas_lightning.runs.records import (
    LedgerSummary,
    Series,
    declared_by,
    declared_in,
    finite,
    read_ledger,
    read_metrics,
    readable_finals,
    undefined_in,
)
from nas_lightning.runs.state import RunState
from nas_lightning.runs.stretches import Stretch
from nas_lightning.runs.stretches import read as read_stretches


@dataclass(frozen=True)
class Run:
    """One run, as it is now.

    Attributes:
        folder: Where it is.
        arm: What it is compared by.
        seed: Its seed.
        config: Its configuration.
        state: What has become of it.
        objective: The metric by which its architectures are compared.
        declared: What its metrics are, by name.
        undefined: What is not defined for its controller, in words.
        metrics: Name -> values.
        best: What its `best_architecture.json` holds, or None while there is none.
        damaged_lines: How many lines of its metrics and stretches could not be read.
        stretches: With what it was searched, from each start or resume on; empty if unknown.
    """

    folder: Path
    arm: str
    seed: int
    config: Mapping[str, Any]
    state: RunState
    objective: Metric
    declared: Mapping[str, Metric]
    undefined: Sequence[str]
    metrics: Mapping[str, Series]
    best: Mapping[str, Any] | None
    damaged_lines: int
    stretches: Sequence[Stretch]

    @cached_property
    def ledger(self) -> tuple[LedgerSummary, int]:
        """What its ledger holds, and how many lines are damaged; read when it is asked for."""
        return read_ledger(self.folder / LEDGER, self.objective)

    @property
    def judged(self) -> LedgerSummary:
        """What its ledger holds."""
        return self.ledger[0]

    @property
    def damaged(self) -> int:
        """How many lines of its records could not be read."""
        return self.damaged_lines + self.ledger[1]

    @cached_property
    def finals(self) -> tuple[list[tuple[Path, dict[str, Any]]], list[Path]]:
        """The final numbers of its retrainings, by file, and the files that hold none."""
        return readable_finals(self.folder)

    @cached_property
    def at_end(self) -> Mapping[str, float]:
        """The values recorded in its last epoch, NaN and infinities as they are.

        What was not recorded then is not told by its value of an earlier epoch.
        """
        last = self.epochs - 1
        return {n: s.values[-1] for n, s in self.metrics.items() if s.epochs[-1] == last}

    @property
    def mixed(self) -> bool:
        """Whether its shared weights were trained through mixtures of options."""
        return "relaxed/validation_loss" in self.metrics

    @property
    def versions(self) -> list[str]:
        """The versions with which it was made, one after the other, in words."""
        made = [stretch.versions for stretch in self.stretches]
        if not made:  # before there was a record, only the end told them
            provenance = (self.best or {}).get("provenance", {})
            made = [{k: v for k, v in provenance.items() if k not in ("seed", "config")}]
        lines = [", ".join(f"{name} {version}" for name, version in each.items()) for each in made]
        return [line for n, line in enumerate(lines) if line and line not in lines[:n]]

    @property
    def epochs(self) -> int:
        """How many epochs have recorded something."""
        return 1 + max((s.epochs[-1] for s in self.metrics.values()), default=-1)

    @property
    def derived(self) -> int:
        """How many epochs have come to their end, which is a derivation."""
        ends = [s.epochs[-1] for name, s in self.metrics.items() if name.startswith("derive/")]
        return 1 + max(ends, default=-1)

    def last(self, name: str) -> float | None:
        """The last value of a metric, if there is one and it is finite."""
        return finite(self.metrics[name].values[-1]) if name in self.metrics else None

    @property
    def best_value(self) -> float | None:
        """The objective's value of its best architecture, if that is finite."""
        return finite(((self.best or {}).get("metrics") or {}).get(self.objective.name))

    @property
    def status(self) -> str:
        """Its state in words."""
        of = f"after {self.derived} of {self.config.get('trainer', {}).get('max_epochs')} epochs"
        words = {
            "done": "finished",
            "running": f"is still running {of}",
            "failed": f"failed: {self.state.reason}",
            "stopped": f"has stopped {of}",
        }
        return words[self.state.name]


def read_run(folder: Path, arm: str, seed: int, config: Mapping[str, Any], state: RunState) -> Run:
    """Read what a run has left so far.

    Raises:
        UserError: If what its metrics are cannot be read.
    """
    best = read_best(folder / BEST)
    metrics: dict[str, Series] = {}
    damaged = 0
    if (folder / "metrics.csv").exists():
        metrics, damaged = read_metrics(folder / "metrics.csv")
    objective = declared_by(folder, objective_of(folder, config, best))
    stretches, damaged_stretches = read_stretches(folder)
    return Run(
        folder=folder,
        arm=arm,
        seed=seed,
        config=config,
        state=state,
        objective=objective,
        declared=declared_in(folder),
        undefined=undefined_in(folder, metrics),
        metrics=metrics,
        best=best,
        damaged_lines=damaged + damaged_stretches,
        stretches=stretches,
    )


def read_best(path: Path) -> dict[str, Any] | None:
    """What a `best_architecture.json` holds; None if it cannot be read, or is none."""
    best = read_json(path)
    dicts = best is not None and all(
        isinstance(best.get(name, {}), dict) for name in ("metrics", "provenance", "decisions")
    )
    return best if dicts else None


def objective_of(folder: Path, config: Mapping[str, Any], best: Mapping[str, Any] | None) -> str:
    """The name of the metric by which a run's architectures are compared."""
    declared = (read_json(folder / DECLARED) or {}).get("objectives")
    first = declared[0] if isinstance(declared, list) and declared else None
    configured = (config.get("estimator") or {}).get("objective")
    return str(first or (best or {}).get("objective") or configured or "loss")
