"""The command `python scripts/benchmark.py`: measures everything, prints a table, writes JSON.

python scripts/benchmark.py                    everything, about a quarter of an hour
python scripts/benchmark.py quick=true         the same with less work, two minutes
python scripts/benchmark.py only=children      those with this in their name
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from omegaconf import DictConfig

from nas_lightning.benchmarks.measurements import measurements
from nas_lightning.command import script
from nas_lightning.errors import UserError
from nas_lightning.experiment import shown

SETTINGS = {
    "quick": False,
    "only": "",
    "output": "outputs/benchmark.json",
    "figure": "outputs/growth.svg",
}
"""What the command line can set: less work for each measurement; a part of the wanted ones' names;
where the numbers and the drawing of the growth go."""

LEGEND = """\
ratio: time before / now; of the limit: time now / multiplications alone; memory: what is held for
the backward, now / before; medians of the rounds, in brackets the least and the greatest"""


def run(*, quick: bool, only: str, output: Path, figure: Path) -> None:
    """Measure, print and write.

    Raises:
        UserError: If nothing has `only` in its name.
    """
    from rich.console import Console
    from rich.table import Table

    from nas_lightning.benchmarks.timing import machine

    known = measurements(quick=quick, figure=figure)
    chosen = {name: measure for name, measure in known.items() if only in name}
    if not chosen:
        raise UserError(f"only={only}: nothing has this in its name; there are: {'; '.join(known)}")
    for path in (output, *([figure] if "growth" in chosen else [])):
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a"):  # minutes later would be too late to find out
            pass
    header = machine()
    print(", ".join(f"{name} {value}" for name, value in header.items()))
    table = Table("", "measured", "value", "", "aimed at", "", "beside")
    found = {}
    for name, measure in chosen.items():
        found[name] = measure(2 if quick else 5)
        for place, number in enumerate(found[name]):
            table.add_row(
                "" if place else name,
                number.what,
                f"{number.value:.3g}",
                f"({number.lowest:.3g} to {number.highest:.3g})",
                number.aim,
                number.verdict,
                ", ".join(f"{what} {value:.4g}" for what, value in number.beside.items()),
            )
            print(f"{name}, {number.what}: {number.value:.3g}", file=sys.stderr)
    print(LEGEND)
    Console(width=None if sys.stdout.isatty() else 180).print(table)
    rows = {name: [number.as_json() for number in numbers] for name, numbers in found.items()}
    text = json.dumps({"machine": header, "quick": quick, "measured": rows}, indent=2)
    output.write_text(text + "\n", encoding="utf-8")
    print(f"written {shown(output)}")


def measured(cfg: DictConfig) -> None:
    """Measure what is asked for.

    Raises:
        UserError: If the user can mend what is wrong.
    """
    if not isinstance(cfg.quick, bool):
        raise UserError(f"quick={cfg.quick} is not allowed: must be true or false")
    output, figure = (Path(str(cfg[key])).expanduser() for key in ("output", "figure"))
    if figure.suffix not in (".svg", ".png"):
        raise UserError(f"figure={cfg.figure} is not allowed: must end in .svg or .png")
    run(quick=cfg.quick, only=str(cfg.only), output=output, figure=figure)


def main() -> None:
    """The command `python scripts/benchmark.py …`."""
    script(measured, SETTINGS)
