"""The runs of a study, or one: each is read once, and whoever compares them is handed them.

A folder in which a search has begun is a run; a folder of such folders is a study. What cannot be
shown is said in a line: a run that has failed, also before it had begun, one that is going on or
has stopped, one whose files are damaged, lines that were damaged. The rest stands.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from nas_lightning.errors import UserError
from nas_lightning.runs.config import CONFIG, at, read_config
from nas_lightning.runs.folder import BEST
from nas_lightning.runs.run import Run, read_run
from nas_lightning.runs.state import RunState, state_of
from nas_lightning.studies.arms import named_by_config, named_by_folder, refuse_mixed
from nas_lightning.studies.cross_evaluation import Scores, read_record
from nas_lightning.studies.seeds import seed_runs
from nas_lightning.terminal import shown

THIS = "this run"
"""What a single run is called where arms would have their names."""


@dataclass(frozen=True)
class Study:
    """Runs of one search space and data.

    Attributes:
        folder: Of the study, or of the run if it is a single one.
        single: Whether it is a single run.
        runs: Those that are shown, by arm and seed.
        failed: Of a study: those that have failed, and count for nothing.
        absent: Folder -> state, of a study: where none has begun, because it failed before, say.
        unreadable: Folder -> why, of a study: runs whose files are too damaged to be counted.
    """

    folder: Path
    single: bool
    runs: Sequence[Run]
    failed: Sequence[Run]
    absent: Mapping[str, RunState]
    unreadable: Mapping[str, str]

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

    @cached_property
    def finished(self) -> list[Run]:
        """The runs that count in a comparison: those that have come to their end, a seed once."""
        found: dict[tuple[str, int], Run] = {}
        for run in self.runs:
            if run.state.name == "done" and run.metrics:
                found.setdefault((run.arm, run.seed), run)
        return list(found.values())

    @cached_property
    def crossed(self) -> tuple[list[Scores], int]:
        """The record of its cross-evaluation, and how many lines of that are damaged."""
        return ([], 0) if self.single else read_record(self.folder)

    @property
    def scores(self) -> list[Scores]:
        """What could be read of its cross-evaluation."""
        return self.crossed[0]

    @cached_property
    def notes(self) -> list[str]:
        """What a reader has to know of runs that are not whole, and of those that are not there."""
        unreadable = [f"{name} is left out: {why}" for name, why in self.unreadable.items()]
        absent = [f"{name} {state.said}" for name, state in self.absent.items()]
        runs = sorted([*self.runs, *self.failed], key=lambda run: (run.arm, run.seed))
        return [*notes(runs, single=self.single), *unreadable, *absent]

    @cached_property
    def damage(self) -> list[str]:
        """What of its finished runs is damaged, a line each."""
        return [
            f"{run.folder.name}: damaged lines of its metrics are left out: {run.damaged_lines}"
            for run in self.finished
            if run.damaged_lines
        ]

    @property
    def left_out(self) -> list[str]:
        """What lies in it beside its finished runs, and so counts for nothing: a line each."""
        counted = {run.folder for run in self.finished}
        runs = [run for run in (*self.runs, *self.failed) if run.folder not in counted]
        lines = [f"{run.folder.name} {run.state.words}" for run in runs if run.metrics]
        lines += [
            f"{run.folder.name}: metrics.csv cannot be read, or is empty (put it back)"
            for run in runs
            if not run.metrics
        ]
        lines += [f"{name} {state.words}" for name, state in self.absent.items()]
        return [f"{line}, and is left out" for line in lines] + [
            f"{name} is left out: {why}" for name, why in self.unreadable.items()
        ]


def finished_study(folder: Path) -> Study:
    """Read a study of which something has come to its end.

    Raises:
        UserError: If nothing has.
    """
    try:
        study = read_study(folder)
    except UserError as error:
        raise UserError(f"study={folder}: no finished runs there; {error}") from error
    if study.single or not study.finished:
        first, *more = [*study.left_out, ""]
        why = f"; {first}" * bool(first) + f", and {len(more) - 1} more" * (len(more) > 1)
        raise UserError(f"study={folder}: no finished runs there in folders named …seed=N{why}")
    return study


def read_study(folder: Path, only: Collection[Path] | None = None) -> Study:
    """Read the run or the study in a folder.

    Args:
        folder: Where.
        only: Of a study those runs alone; None for all.

    Raises:
        UserError: If there is none, or runs of other spaces or data lie there.
    """
    own = state_of(folder)
    single = own is not None and own.begun
    paths = [folder] if single else sorted(folder.glob("*/"))
    found = {path: state_of(path) for path in paths if only is None or path in only}
    states = {path: state for path, state in found.items() if state is not None}
    absent = {path.name: state for path, state in states.items() if not state.begun}
    damaged: dict[str, UserError] = {}
    configs: dict[Path, dict[str, Any]] = {}
    for path in (path for path, state in states.items() if state.begun):
        try:
            configs[path] = read_config(path)
        except UserError as error:
            damaged[path.name] = error
    read = []
    for path, (arm, seed) in _named(folder, configs, single=single).items():
        try:
            read += seed_runs(read_run(path, arm, seed, configs[path], states[path]))
        except UserError as error:
            damaged[path.name] = error
    if not read:
        raise _nothing(folder, own, absent, damaged)
    read.sort(key=lambda run: (run.arm, run.seed))
    failed = [run for run in read if run.state.name == "failed" and not single]
    runs = [run for run in read if run.state.name != "failed" or single]
    if not runs:
        raise UserError(
            f"{shown(folder)}: all {len(failed) + len(absent)} runs have failed, the "
            f"first because of: {failed[0].state.reason}; mend that and repeat the command that "
            "made them"
        )
    refuse_mixed({run.folder: run.config for run in runs})
    unreadable = {name: str(error) for name, error in damaged.items()}
    known = {run.folder for run in read}
    unreadable |= {
        path.name: "it has no seed=N in its name, as the others have"
        for path in configs
        if path not in known and path.name not in unreadable
    }
    return Study(folder, single, runs, failed, absent, unreadable)


def _named(
    folder: Path, configs: Mapping[Path, Mapping[str, Any]], *, single: bool
) -> dict[Path, tuple[str, int]]:
    """Arm and seed of the runs that can be compared: by their folders' names, or their settings."""
    if single:
        return {path: (THIS, int(config.get("seed", 0))) for path, config in configs.items()}
    return named_by_folder(configs) or (named_by_config(configs) if configs else {})


def _nothing(
    folder: Path,
    own: RunState | None,
    absent: Mapping[str, RunState],
    damaged: Mapping[str, UserError],
) -> UserError:
    """Why there is nothing to show."""
    if damaged:
        return next(iter(damaged.values()))
    if own is not None:
        return UserError(f"{shown(folder)}: the run there {own.said}")
    if absent:
        name, state = next(iter(absent.items()))
        return UserError(
            f"{shown(folder)}: none of {len(absent)} runs there has begun; the first, {name}, "
            f"{state.said}"
        )
    return UserError(
        f"{shown(folder)}: no run there, and no folders of runs (a run has {CONFIG}); give a run's "
        "folder, or a study's: outputs/STUDY"
    )


def notes(runs: Iterable[Run], *, single: bool) -> list[str]:
    """What a reader has to know of runs that are not whole, a line each."""
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
        if not run.metrics and state == "done":
            lines.append(
                f"{name}: metrics.csv cannot be read, or is empty; no comparison counts the run"
            )
        if run.damaged:
            lines.append(f"{name}: damaged lines of its records are left out: {run.damaged}")
        if warm := at(run.config, "controller.warm_start"):
            lines.append(
                f"{name} was begun with {len(warm)} architectures that were given: what it cost to "
                "find them is not counted"
            )
        if len(run.versions) > 1:
            lines.append(f"{name} was searched with different versions: see Runs")
        if run.best is None and (run.folder / BEST).exists():
            lines.append(f"{name}: {BEST} is damaged, and is left out")
        for path in run.finals[1]:
            file = path.relative_to(run.folder)
            lines.append(f"{name}: {file} holds no final numbers, and is left out")
        if state != "failed" and (run.arm, run.seed) in seen:
            lines.append(
                f"{name} repeats arm and seed of {seen[run.arm, run.seed].name}: the figures "
                "show both, comparisons count that one alone"
            )
        if state != "failed":
            seen.setdefault((run.arm, run.seed), run.folder)
    return lines
