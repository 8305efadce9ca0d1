"""The last numbers of all runs of a study, side by side: a row a run, and a mean an arm."""

from __future__ import annotations

import csv
import math
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean, stdev

from nas_lightning.errors import UserError
from nas_lightning.metrics import Metric
from nas_lightning.runs.folder import DECLARED, LONGEST_NAME, read_config
from nas_lightning.runs.records import declared_in, read_json, read_metrics
from nas_lightning.runs.state import state_of
from nas_lightning.studies.arms import named_by_config

SEED = re.compile(r"(?:^|,)seed=(\d+)")
HASH = re.compile(r"-[0-9a-f]{8}$")


@dataclass(frozen=True)
class RunNumbers:
    """What a finished run came to.

    Attributes:
        arm: What it is compared by; see `named_runs`.
        seed: Its seed.
        last: The value of every metric that was recorded in its last epoch.
        folder: Where it lies.
    """

    arm: str
    seed: int
    last: Mapping[str, float]
    folder: Path


def finished_runs(study: Path) -> list[RunNumbers]:
    """The finished runs of a study.

    Raises:
        UserError: If there is none, or none that can be read.
    """
    named = named_runs([folder for folder in study.glob("*/") if _finished(folder)])
    if not named:
        first, *more = [*left_out(study), ""]
        why = f"; {first}" * bool(first) + f", and {len(more) - 1} more" * (len(more) > 1)
        raise UserError(f"study={study}: no finished runs there{why}")
    runs, unreadable = [], []
    for folder, (arm, seed) in named.items():
        try:
            runs.append(RunNumbers(arm, seed, last_values(folder), folder))
        except UserError as error:
            unreadable.append(error)
    if not runs:
        raise unreadable[0]
    for why_not in unreadable:
        print(f"note: a run is left out: {why_not}", file=sys.stderr)
    return sorted(runs, key=lambda run: (run.arm, run.seed))


def left_out(study: Path) -> list[str]:
    """What lies in a study beside its finished runs, and so counts for nothing: a line each."""
    lines = []
    named = arms(folder for folder in study.glob("*/") if _finished(folder))
    for folder in sorted(study.glob("*/")):
        state = state_of(folder)
        if state is not None and state.name != "done":
            lines.append(f"{folder.name} {state.words}")
        elif state is not None and named and folder not in named:
            lines.append(f"{folder.name} has no seed=N in its name, as others have")
    return lines


def _finished(folder: Path) -> bool:
    state = state_of(folder)
    return state is not None and state.name == "done"


def named_runs(folders: Sequence[Path]) -> dict[Path, tuple[str, int]]:
    """Arm and seed of finished runs: by their folders' names, as a multirun makes them.

    Where no name has a seed, or one was cut, which may have cost it the seed or a digit of it,
    they are told by `config.yaml`; a run whose cannot be read is left out, and said.
    """
    named = arms(folders)
    if named or not folders:
        return named
    configs = {}
    for folder in sorted(folders):
        try:
            configs[folder] = read_config(folder)
        except UserError as error:
            print(f"note: a run is left out: {error}", file=sys.stderr)
    return named_by_config(configs) if configs else {}


def arms(folders: Iterable[Path]) -> dict[Path, tuple[str, int]]:
    """Arm and seed of those folders whose names have a `seed=N`; none if a name was cut."""
    folders = sorted(folders)
    if any(len(HASH.sub("", folder.name)) >= LONGEST_NAME for folder in folders):
        return {}
    found = [
        (folder, int(named[1]), HASH.sub("", SEED.sub("", folder.name)).strip(",").split(","))
        for folder in folders
        if (named := SEED.search(folder.name))
    ]
    shared = set.intersection(*(set(settings) for _, _, settings in found)) if found else set()
    return {
        folder: (_arm([s for s in settings if s not in shared] or settings), seed)
        for folder, seed, settings in found
    }


def _arm(settings: Sequence[str]) -> str:
    return ",".join(settings).removeprefix("arm=")


def last_values(run: Path) -> dict[str, float]:
    """The value of every metric that was recorded in a run's last epoch.

    What was not, because it could not be told then, is not told by its value of an earlier epoch.
    """
    path = run / "metrics.csv"
    try:
        series, damaged = read_metrics(path)
        if damaged:
            print(f"note: {path}: damaged lines are left out: {damaged}", file=sys.stderr)
        last = max(found.epochs[-1] for found in series.values())
        return {n: found.values[-1] for n, found in series.items() if found.epochs[-1] == last}
    except (OSError, ValueError) as error:
        raise UserError(
            f"{path}: cannot be read ({type(error).__name__}: {error}); put it back, or move the "
            "run away"
        ) from error


def objective_of(runs: Iterable[RunNumbers]) -> Metric | None:
    """The metric by which the runs' architectures are compared; None if they do not agree."""
    found = set()
    for run in runs:
        names = (read_json(run.folder / DECLARED) or {}).get("objectives") or [None]
        found.add(declared_in(run.folder).get(names[0]))
    return found.pop() if len(found) == 1 else None


def undefined(of_arms: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each arm for whose controller something is not defined; see `undefined_in`."""
    return [
        f"{arm}: not defined for this controller: {', '.join(names)}"
        for arm, names in of_arms.items()
        if names
    ]


def write_numbers(runs: Iterable[RunNumbers], metrics: Sequence[str], path: Path) -> None:
    """Write a CSV: a row a run, a column a metric; empty where a run has no such number."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["arm", "seed", *metrics])
        for run in runs:
            values = [f"{run.last[name]:.6g}" if name in run.last else "" for name in metrics]
            writer.writerow([run.arm, run.seed, *values])


def means(runs: Sequence[RunNumbers], metrics: Sequence[str], best: Metric | None = None) -> str:
    """A Markdown table: a row an arm, mean ± standard deviation over its seeds.

    Over those seeds where the number is there and finite; how many, if these are not all.

    Args:
        runs: The runs.
        metrics: The columns.
        best: The objective, whose best value is shown first, and by which arms are ranked then.
    """
    if best is not None:
        name = f"derive/best_{best.name}"
        ranked = sorted(runs, key=lambda run: _rank(runs, run.arm, name, best.sign))
        table = means(ranked, [name, *metrics])
        return table.replace(f" {name} ", f" best {best.label()} ", 1)
    lines = [
        f"| arm | seeds | {' | '.join(metrics)} |",
        f"|---|{'---:|' * (len(metrics) + 1)}",
    ]
    for arm in dict.fromkeys(run.arm for run in runs):
        of_arm = [run for run in runs if run.arm == arm]
        cells = [_spread([run.last.get(name, math.nan) for run in of_arm]) for name in metrics]
        lines.append(f"| {arm} | {len(of_arm)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rank(runs: Sequence[RunNumbers], arm: str, name: str, sign: int) -> float:
    """The less the better."""
    found = [run.last.get(name, math.nan) for run in runs if run.arm == arm]
    finite = [value for value in found if math.isfinite(value)]
    return -sign * mean(finite) if finite else math.inf


def _spread(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "–"
    spread = f" ± {stdev(finite):.2g}" if len(finite) > 1 else ""
    of = "" if len(finite) == len(values) else f" ({len(finite)} of {len(values)})"
    return f"{mean(finite):.3g}{spread}{of}"
