"""The runs that a page shows: of a study, or one.

A folder with `config.yaml` is a run; a folder of such folders is a study. What cannot be shown is
said in a line: a run that has failed, one that is going on, lines that were damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from nas_lightning.errors import UserError
from nas_lightning.report.arms import named_by_config, refuse_mixed
from nas_lightning.report.records import (
    Judged,
    Series,
    finite,
    read_json,
    read_ledger,
    read_metrics,
)
from nas_lightning.report.study import arms
from nas_lightning.run_folder import BEST, CONFIG, LEDGER, read_config
from nas_lightning.terminal import shown

THIS = "this run"
"""What a single run is called where arms would have their names."""

State = Literal["finished", "failed", "unfinished"]


@dataclass(frozen=True)
class Run:
    """One run, as it is now.

    Attributes:
        folder: Where it is.
        arm: What it is compared by.
        seed: Its seed.
        config: Its configuration.
        state: Whether it has come to an end, and to which.
        reason: Why it has failed.
        metrics: Name -> values.
        judged: What its ledger holds.
        best: What its `best_architecture.json` holds, or None while there is none.
        damaged: How many lines of its records could not be read.
    """

    folder: Path
    arm: str
    seed: int
    config: Mapping[str, Any]
    state: State
    reason: str
    metrics: Mapping[str, Series]
    judged: Judged
    best: Mapping[str, Any] | None
    damaged: int

    @property
    def objective(self) -> str:
        """The metric by which its architectures are compared."""
        return objective_of(self.config, self.best)

    @property
    def epochs(self) -> int:
        """How many epochs have recorded something."""
        return 1 + max((s.epochs[-1] for s in self.metrics.values()), default=-1)

    def last(self, name: str) -> float | None:
        """The last value of a metric, if there is one and it is finite."""
        return finite(self.metrics[name].values[-1]) if name in self.metrics else None

    @property
    def best_value(self) -> float | None:
        """The objective's value of its best architecture, if that is finite."""
        return finite(((self.best or {}).get("metrics") or {}).get(self.objective))

    @property
    def status(self) -> str:
        """Its state in words."""
        of = f"epoch {self.epochs} of {self.config.get('trainer', {}).get('max_epochs')}"
        if self.state == "failed":
            return f"failed: {self.reason}"
        return "finished" if self.state == "finished" else f"still running, {of}"


@dataclass(frozen=True)
class Study:
    """Runs of one search space and data.

    Attributes:
        folder: Of the study, or of the run if it is a single one.
        single: Whether it is a single run.
        runs: Those that are shown, by arm and seed.
        failed: Of a study: those that have failed, and count for nothing.
        notes: What else a reader has to know, a line each.
    """

    folder: Path
    single: bool
    runs: Sequence[Run]
    failed: Sequence[Run]
    notes: Sequence[str]

    @property
    def arms(self) -> list[str]:
        """The arms, in the order of their names."""
        return list(dict.fromkeys(run.arm for run in self.runs))

    @property
    def kind(self) -> str:
        """What the numbers were measured on."""
        kinds = {str(row.get("kind")) for run in self.runs for row in run.judged.best}
        return ", ".join(sorted(kinds)) or "nothing is judged yet"

    def of(self, arm: str) -> list[Run]:
        """The runs of an arm."""
        return [run for run in self.runs if run.arm == arm]


def read_study(folder: Path) -> Study:
    """Read the run or the study in a folder.

    Raises:
        UserError: If there is none, or runs of other spaces or data lie there.
    """
    single = is_run(folder)
    folders = [folder] if single else [path for path in sorted(folder.glob("*/")) if is_run(path)]
    if not folders:
        raise UserError(
            f"{shown(folder)}: no run there, and no folders of runs (a run has "
            f"{CONFIG}); give a run's folder, or a study's: outputs/STUDY"
        )
    configs = {path: read_config(path) for path in folders}
    refuse_mixed(configs)
    named = arms(folders)
    if single:
        named = {folder: (THIS, int(configs[folder].get("seed", 0)))}
    elif len(named) < len(folders):
        named = named_by_config(configs)
    found = [read_run(path, *named[path], configs[path]) for path in folders]
    found.sort(key=lambda run: (run.arm, run.seed))
    failed = [] if single else [run for run in found if run.state == "failed"]
    runs = [run for run in found if run not in failed]
    if not runs:
        raise UserError(
            f"{shown(folder)}: all {len(failed)} runs have failed, the first because of: "
            f"{failed[0].reason}; mend that and repeat the command that made them"
        )
    return Study(folder, single, runs, failed, notes(found, single=single))


def is_run(folder: Path) -> bool:
    """Whether a folder holds a run, be it one that has just begun."""
    return (folder / CONFIG).is_file() and (folder / LEDGER).exists()


def read_run(folder: Path, arm: str, seed: int, config: Mapping[str, Any]) -> Run:
    """Read what a run has left so far."""
    best = read_best(folder / BEST)
    metrics: dict[str, Series] = {}
    damaged = 0
    if (folder / "metrics.csv").exists():
        metrics, damaged = read_metrics(folder / "metrics.csv")
    judged, damaged_rows = read_ledger(folder / LEDGER, objective_of(config, best))
    state: State = "unfinished"
    reason = ""
    if (folder / "FAILED").exists():
        text = (folder / "FAILED").read_text(encoding="utf-8", errors="replace").strip()
        state, reason = "failed", (text.splitlines() or ["no reason is given"])[0]
    elif (folder / "DONE").exists():
        state = "finished"
    return Run(
        folder=folder,
        arm=arm,
        seed=seed,
        config=config,
        state=state,
        reason=reason,
        metrics=metrics,
        judged=judged,
        best=best,
        damaged=damaged + damaged_rows,
    )


def read_best(path: Path) -> dict[str, Any] | None:
    """What a `best_architecture.json` holds; None if it cannot be read, or is none."""
    best = read_json(path)
    dicts = best is not None and all(
        isinstance(best.get(name, {}), dict) for name in ("metrics", "provenance", "decisions")
    )
    return best if dicts else None


def objective_of(config: Mapping[str, Any], best: Mapping[str, Any] | None) -> str:
    """The metric by which a run's architectures are compared."""
    declared = (config.get("estimator") or {}).get("objective")
    return str((best or {}).get("objective") or declared or "loss")


def notes(runs: Iterable[Run], *, single: bool) -> list[str]:
    """What a reader has to know of runs that are not whole."""
    lines = []
    seen: dict[tuple[str, int], Path] = {}
    for run in runs:
        name = run.folder.name
        if run.state == "failed":
            left_out = "" if single else ", and is left out"
            lines.append(f"{name} has failed{left_out}: {run.reason}")
        elif run.state == "unfinished":
            lines.append(f"{name} is {run.status}: it is shown as it is now")
        if run.damaged:
            lines.append(f"{name}: damaged lines of its records are left out: {run.damaged}")
        if run.state != "failed" and (run.arm, run.seed) in seen:
            lines.append(
                f"{name} repeats arm and seed of {seen[run.arm, run.seed].name}: both are counted"
            )
        seen.setdefault((run.arm, run.seed), run.folder)
    return lines
