"""The command `python scripts/benchmark.py`: measures everything, prints a table, writes JSON.

python scripts/benchmark.py                    everything, nine minutes
python scripts/benchmark.py quick=true         the same with less work, two minutes
python scripts/benchmark.py only=children      those with this in their name

What has been measured is in the file even if the command is killed. On Linux alone.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from omegaconf import DictConfig

from nas_lightning.commands.script import script
from nas_lightning.errors import UserError
from nas_lightning.files import require_writable, write_json
from nas_lightning.terminal import shown

if TYPE_CHECKING:
    from rich.table import Table

    from benchmarks.numbers import Number

SETTINGS = {"quick": False, "only": "", "output": None, "figure": "outputs/growth.svg"}
"""What the command line can set: less work for each measurement; a part of the wanted ones' names;
where the numbers go (`outputs/benchmark.json`, or `benchmark_part.json` beside it where not all was
asked for or with less work), and the drawing of the growth."""

LEGEND = """\
ratio: time of the plain way / ours; of the limit: our time / multiplications alone; memory: what we
hold for the backward, or need at most (softmax), / the plain way; medians of the rounds, in
brackets the least and the greatest"""


def run(*, quick: bool, only: str, output: Path, figure: Path) -> None:
    """Measure, print and write.

    Raises:
        UserError: If nothing has `only` in its name.
    """
    from rich.console import Console

    from benchmarks.measurements import measurements
    from benchmarks.timing import machine

    known = measurements(quick=quick, figure=figure)
    chosen = {name: measure for name, measure in known.items() if only in name}
    if not chosen:
        raise UserError(f"only={only}: nothing has this in its name; there are: {'; '.join(known)}")
    for path in (output, *([figure] if "growth" in chosen else [])):
        require_writable(path)
    header = machine()
    print(", ".join(f"{name} {value}" for name, value in header.items()))
    found: dict[str, Sequence[Number]] = {}
    for name, measure in chosen.items():
        found[name] = measure(2 if quick else 5)
        for number in found[name]:
            print(f"{name}, {number.what}: {number.value:.3g}", file=sys.stderr)
        rows = {name: [number.as_json() for number in numbers] for name, numbers in found.items()}
        write_json(output, {"machine": header, "quick": quick, "measured": rows})
    print(LEGEND)
    Console(width=None if sys.stdout.isatty() else 180).print(table(found))
    print(f"written {shown(output)}")


def table(found: Mapping[str, Sequence[Number]]) -> Table:
    """Every number beside what is aimed at."""
    from rich.table import Table

    table = Table("", "measured", "value", "", "aimed at", "", "beside")
    for name, numbers in found.items():
        for place, number in enumerate(numbers):
            table.add_row(
                "" if place else name,
                number.what,
                f"{number.value:.3g}",
                f"({number.lowest:.3g} to {number.highest:.3g})",
                number.aim,
                number.verdict,
                ", ".join(f"{what} {value:.4g}" for what, value in number.beside.items()),
            )
    return table


def measured(cfg: DictConfig) -> None:
    """Measure what is asked for.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    if not isinstance(cfg.quick, bool):
        raise UserError(f"quick={cfg.quick} is not allowed: must be true or false")
    figure = Path(str(cfg.figure)).expanduser()
    if figure.suffix not in (".svg", ".png"):
        raise UserError(f"figure={cfg.figure} is not allowed: must end in .svg or .png")
    only = "" if cfg.only is None else str(cfg.only)
    part = "_part" if cfg.quick or only else ""
    output = Path(str(cfg.output or f"outputs/benchmark{part}.json")).expanduser()
    run(quick=cfg.quick, only=only, output=output, figure=figure)


def main() -> None:
    """The command `python scripts/benchmark.py …`."""
    script(measured, SETTINGS)


if __name__ == "__main__":  # python -m: the module that others import, not a second one of its kind
    from benchmarks.suite import main as imported

    imported()
