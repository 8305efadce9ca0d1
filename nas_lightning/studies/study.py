"""The runs that a page shows: of a study, or one.

A folder in which a search has begun is a run; a folder of such folders is a study. What cannot be
shown is said in a line: a run that has failed, also before it had begun, one that is going on or
has stopped, lines that were damaged.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nas_lightning.errors import UserError
from nas_lightning.files import read_json
from nas_lightning.metrics import Metric
from nas_lightning.runs.folder import BEST, CONFIG, LEDGER, read_config
from nas_lightning.runs.records import (
    Judged,
    Series,
    declared_by,
    declared_in,
    finite,
    read_ledger,
    read_metrics,
    readable_finals,
    undefined_in,
)
from nas_lightning.runs.state import RunState, state_of
from nas_lightning.runs.stretches import Stretch
from nas_lightning.runs.stretches import read as read_stretches
from nas_lightning.studies.arms import named_by_config, refuse_mixed
from nas_lightning.studies.finished_runs import arms
from nas_lightning.terminal import shown

THIS = "this run"
"""What a single run is called where arms would have their names."""


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
        judged: What its ledger holds.
        best: What its `best_architecture.json` holds, or None while there is none.
        damaged: How many lines of its records could not be read.
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
    judged: Judged
    best: Mapping[str, Any] | None
    damaged: int
    stretches: Sequence[Stretch]

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
        of = f"epoch {self.epochs} of {self.config.get('trainer', {}).get('max_epochs')}"
        words = {
            "done": "finished",
            "running": f"is still running, {of}",
            "failed": f"failed: {self.state.reason}",
            "stopped": f"has stopped, {of}",
        }
        return words[self.state.name]


@dataclass(frozen=True)
class Study:
    """Runs of one search space and data.

    Attributes:
        folder: Of the study, or of the run if it is a single one.
        single: Whether it is a single run.
        runs: Those that are shown, by arm and seed.
        failed: Of a study: those that have failed, and count for nothing.
        absent: Folder -> state, of a study: where none has begun, because it failed before, say.
        notes: What else a reader has to know, a line each.
    """

    folder: Path
    single: bool
    runs: Sequence[Run]
    failed: Sequence[Run]
    absent: Mapping[str, RunState]
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
    own = state_of(folder)
    single = own is not None and own.begun
    found = {path: state_of(path) for path in ([folder] if single else sorted(folder.glob("*/")))}
    states = {path: state for path, state in found.items() if state is not None}
    configs = {path: read_config(path) for path, state in states.items() if state.begun}
    absent = {path.name: state for path, state in states.items() if not state.begun}
    if not configs:
        raise UserError(f"{shown(folder)}: {_nothing(own, absent)}")
    named = arms(configs)
    if single:
        named = {folder: (THIS, int(configs[folder].get("seed", 0)))}
    elif len(named) < len(configs):
        named = named_by_config(configs)
    read = [read_run(path, *named[path], config, states[path]) for path, config in configs.items()]
    read.sort(key=lambda run: (run.arm, run.seed))
    failed = [] if single else [run for run in read if run.state.name == "failed"]
    runs = [run for run in read if run not in failed]
    if not runs:
        raise UserError(
            f"{shown(folder)}: all {len(failed) + len(absent)} runs have failed, the "
            f"first because of: {failed[0].state.reason}; mend that and repeat the command that "
            "made them"
        )
    counted = {run.folder for run in runs}
    refuse_mixed({path: config for path, config in configs.items() if path in counted})
    return Study(folder, single, runs, failed, absent, notes(read, absent, single=single))


def _nothing(own: RunState | None, absent: Mapping[str, RunState]) -> str:
    """Why there is nothing to show."""
    if own is not None:
        return f"the run there {own.said}"
    if absent:
        name, state = next(iter(absent.items()))
        return f"none of {len(absent)} runs there has begun; the first, {name}, {state.said}"
    return (
        f"no run there, and no folders of runs (a run has {CONFIG}); give a run's folder, or a "
        "study's: outputs/STUDY"
    )


def read_run(folder: Path, arm: str, seed: int, config: Mapping[str, Any], state: RunState) -> Run:
    """Read what a run has left so far."""
    best = read_best(folder / BEST)
    metrics: dict[str, Series] = {}
    damaged = 0
    if (folder / "metrics.csv").exists():
        metrics, damaged = read_metrics(folder / "metrics.csv")
    objective = declared_by(folder, objective_of(config, best))
    judged, damaged_rows = read_ledger(folder / LEDGER, objective)
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
        judged=judged,
        best=best,
        damaged=damaged + damaged_rows + damaged_stretches,
        stretches=stretches,
    )


def read_best(path: Path) -> dict[str, Any] | None:
    """What a `best_architecture.json` holds; None if it cannot be read, or is none."""
    best = read_json(path)
    dicts = best is not None and all(
        isinstance(best.get(name, {}), dict) for name in ("metrics", "provenance", "decisions")
    )
    return best if dicts else None


def objective_of(config: Mapping[str, Any], best: Mapping[str, Any] | None) -> str:
    """The name of the metric by which a run's architectures are compared."""
    declared = (config.get("estimator") or {}).get("objective")
    return str((best or {}).get("objective") or declared or "loss")


def notes(runs: Iterable[Run], absent: Mapping[str, RunState], *, single: bool) -> list[str]:
    """What a reader has to know of runs that are not whole, and of those that are not there."""
    lines = []
    seen: dict[tuple[str, int], Path] = {}
    for run in runs:
        name, state = run.folder.name, run.state.name
        if state == "failed":
            left_out = "" if single else ", and is left out"
            lines.append(f"{name} has failed{left_out}: {run.state.reason}")
        elif state != "done":
            way = f"; {run.state.way}" if state == "stopped" else ""
            lines.append(f"{name} {run.status}: it is shown as it is now{way}")
        if run.damaged:
            lines.append(f"{name}: damaged lines of its records are left out: {run.damaged}")
        if len(run.versions) > 1:
            lines.append(f"{name} was searched with different versions: see Runs")
        if run.best is None and (run.folder / BEST).exists():
            lines.append(f"{name}: {BEST} is damaged, and is left out")
        for path in readable_finals(run.folder)[1]:
            file = path.relative_to(run.folder)
            lines.append(f"{name}: {file} holds no final numbers, and is left out")
        if state != "failed" and (run.arm, run.seed) in seen:
            lines.append(
                f"{name} repeats arm and seed of {seen[run.arm, run.seed].name}: both are counted"
            )
        if state != "failed":
            seen.setdefault((run.arm, run.seed), run.folder)
    return [*lines, *(f"{name} {state.said}" for name, state in absent.items())]
