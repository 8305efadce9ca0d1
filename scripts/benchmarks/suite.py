"""The command `python scripts/benchmark.py`: measures everything, prints a table, writes JSON.

python scripts/benchmark.py                    everything, twelve minutes
python scripts/benchmark.py quick=true         most of them with less work, two minutes
python scripts/benchmark.py only=children      those with this in their name
python scripts/benchmark.py compare=A,B        two commits side by side, in turn

Each row has a process and a time limit of its own. What fails is a row that says so, and the exit
code is 1. Rows are written as they come; the same command goes on with those that are missing or
failed, unless files differ from the commit. On Linux alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig

from nas_lightning.commands.script import script
from nas_lightning.errors import UserError
from nas_lightning.files import read_json, require_writable, write_json
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from rich.table import Table

    from benchmarks.row import Row

SETTINGS = {
    "quick": False,
    "only": "",
    "compare": None,
    "anew": False,
    "limit": None,
    "output": None,
    "figure": "outputs/growth.svg",
}
"""What the command line can set: less work for each row; a part of the wanted ones' names; two
commits; whether rows that are there are measured again; seconds for each row (60 with less work,
300 otherwise); where the numbers go (`outputs/benchmark.json`, or beside it `benchmark_part.json`
where not all was asked for or with less work, and `benchmark_compare.json` for two commits), and
the drawing of the growth."""

MODULE = "benchmarks.measurements"
"""Has the rows."""

LEGEND = """\
ratio: time of the plain way / ours; of the limit: our time / multiplications alone; memory: what we
hold for the backward, or need at most (softmax), / the plain way; medians of the rounds, in
brackets the least and the greatest; noise: the slowest of a fixed matrix product beside every round
/ its fastest"""


def run(cfg: DictConfig, *, output: Path, figure: Path, limit: float) -> None:
    """Measure, print and write.

    Args:
        cfg: The settings.
        output: Where the rows go.
        figure: Where the drawing goes.
        limit: Seconds for each row.

    Raises:
        UserError: If nothing has `only` in its name.
        SystemExit: If a row has failed.
    """
    from rich.console import Console

    from benchmarks.compare import resolved

    only = "" if cfg.only is None else str(cfg.only)
    known = import_module(MODULE).measurements(quick=cfg.quick, figure=figure)
    chosen = [name for name in known if only in name]
    if not chosen:
        raise UserError(f"only={only}: nothing has this in its name; there are: {'; '.join(known)}")
    commits = resolved(str(cfg.compare)) if cfg.compare else None
    for path in (output, *([figure] if "growth" in chosen and not commits else [])):
        require_writable(path)
    head = settings(quick=cfg.quick, commits=commits)
    rows = measured_before(output, head)
    wanted = [name for name in chosen if cfg.anew or name not in rows or rows[name].failed]
    print(", ".join(f"{name} {value}" for name, value in head["machine"].items()))
    if len(wanted) < len(chosen):
        there = len(chosen) - len(wanted)
        print(f"{there} of {len(chosen)} rows are in {shown(output)}; anew=true measures them anew")
    with ExitStack() as stack:
        measure = measuring(stack, head, figure, limit)
        for name in wanted:
            rows[name] = measure(name)
            for said in rows[name].in_words():
                print(f"{name}, {said}", file=sys.stderr)
            as_json = {name: row.as_json() for name, row in rows.items()}
            write_json(output, {**head, "measured": as_json})
    print(LEGEND)
    Console(width=None if sys.stdout.isatty() else 180).print(
        table({name: rows[name] for name in chosen})
    )
    took = sum(rows[name].seconds for name in chosen)
    print(f"written {shown(output)}; the rows took {took:,.0f} s")
    failed = [name for name in chosen if rows[name].failed]
    if failed:
        print(f"error: {len(failed)} of {len(chosen)} rows failed: {'; '.join(failed)}")
        sys.exit(1)


def settings(*, quick: bool, commits: list[str] | None) -> dict[str, Any]:
    """What rows must have in common to stand in one file."""
    from benchmarks.timing import machine
    from nas_lightning.runs.stretches import commit

    return {"machine": machine(), "commit": commit(), "quick": quick, "compare": commits}


def measured_before(output: Path, head: Mapping[str, Any]) -> dict[str, Row]:
    """The rows of a file that the same command has begun, of the same commit."""
    from benchmarks.row import Row

    before = read_json(output) or {}
    told = head["compare"] or str(head["commit"] or "-dirty")
    if "-dirty" in told or any(before.get(key) != value for key, value in head.items()):
        return {}
    return {name: Row.from_json(row) for name, row in before["measured"].items()}


def measuring(
    stack: ExitStack, head: Mapping[str, Any], figure: Path, limit: float
) -> Callable[[str], Row]:
    """What measures the row of a name.

    Args:
        stack: Ends what it needs.
        head: See `settings`.
        figure: Where the drawing goes; of two commits nothing is drawn.
        limit: Seconds for each row.
    """
    from benchmarks.compare import side_by_side, unpacked
    from benchmarks.row import Task, measured

    quick = bool(head["quick"])
    places = stack.enter_context(unpacked(head["compare"])) if head["compare"] else None

    def measure(name: str) -> Row:
        drawing = places[0] / figure.name if places else figure.absolute()
        task = Task(
            module=MODULE, name=name, quick=quick, rounds=1 if quick else 5, figure=str(drawing)
        )
        began = time.monotonic()
        row = side_by_side(task, places, limit=limit) if places else measured(task, limit=limit)
        return replace(row, seconds=time.monotonic() - began)

    return measure


def table(rows: Mapping[str, Row]) -> Table:
    """Every number beside what is aimed at, and why others are missing."""
    from rich.table import Table

    table = Table("", "measured", "value", "", "aimed at", "", "noise", "beside")
    for name, row in rows.items():
        if row.failed:
            table.add_row(name, "", "", "", "", "failed", "", row.failed)
        for place, number in enumerate(row.numbers):
            table.add_row(
                "" if place else name,
                number.what,
                f"{number.value:.3g}",
                f"({number.lowest:.3g} to {number.highest:.3g})",
                number.aim,
                number.verdict,
                f"{row.noise:.2f}" if row.noise else "",
                ", ".join(f"{what} {value:.4g}" for what, value in number.beside.items()),
            )
    return table


def benchmark(cfg: DictConfig) -> None:
    """Measure what is asked for.

    Raises:
        UserError: If the user can mend what is wrong.
        SystemExit: If a row has failed.
    """
    for key in ("quick", "anew"):
        if not isinstance(cfg[key], bool):
            raise UserError(f"{key}={cfg[key]} is not allowed: must be true or false")
    figure = Path(str(cfg.figure)).expanduser()
    if figure.suffix not in (".svg", ".png"):
        raise UserError(f"figure={cfg.figure} is not allowed: must end in .svg or .png")
    limit = (60 if cfg.quick else 300) if cfg.limit is None else cfg.limit
    if not isinstance(limit, int | float) or isinstance(limit, bool) or not limit > 0:
        raise UserError(f"limit={cfg.limit} is not allowed: must be seconds > 0")
    part = "_compare" if cfg.compare else "_part" if cfg.quick or cfg.only else ""
    output = Path(str(cfg.output or f"outputs/benchmark{part}.json")).expanduser()
    run(cfg, output=output, figure=figure, limit=limit)


def main() -> None:
    """The command `python scripts/benchmark.py …`."""
    script(benchmark, SETTINGS)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from benchmarks.suite import main as imported

    imported()
