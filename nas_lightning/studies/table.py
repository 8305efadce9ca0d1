"""The last numbers of all runs of a study, side by side: a row a run, and a mean an arm."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import mean, stdev

from nas_lightning.files import write_csv
from nas_lightning.metrics import Metric
from nas_lightning.runs.run import Run


def objective_of(runs: Iterable[Run]) -> Metric | None:
    """The metric by which the runs' architectures are compared; None if they do not agree."""
    found = {run.objective for run in runs}
    return found.pop() if len(found) == 1 else None


def undefined(of_arms: Mapping[str, Sequence[str]]) -> list[str]:
    """A line for each arm for whose controller something is not defined; see `undefined_in`."""
    return [
        f"{arm}: not defined for this controller: {', '.join(names)}"
        for arm, names in of_arms.items()
        if names
    ]


def write_numbers(runs: Iterable[Run], metrics: Sequence[str], path: Path) -> None:
    """Write a CSV: a row a run, a column a metric; empty where a run has no such number."""
    rows = (
        [run.arm, run.seed, *(f"{run.at_end[n]:.6g}" if n in run.at_end else "" for n in metrics)]
        for run in runs
    )
    write_csv(path, ["arm", "seed", *metrics], rows)


def means(runs: Sequence[Run], metrics: Sequence[str], best: Metric | None = None) -> str:
    """A Markdown table: a row a metric, a column an arm, mean ± standard deviation over its seeds.

    Over those seeds where the number is there and finite; how many, if these are not all. A metric
    that no run has is left out.

    Args:
        runs: The runs.
        metrics: The rows.
        best: The objective, whose best value is shown first, and by which arms are ranked then.
    """
    if best is not None:
        name = f"derive/best_{best.name}"
        ranked = sorted(runs, key=lambda run: _rank(runs, run.arm, name, best.sign))
        table = means(ranked, [name, *metrics])
        return table.replace(f" {name} ", f" best {best.label()} ", 1)
    arms = {run.arm: [other for other in runs if other.arm == run.arm] for run in runs}
    rows = [["seeds", *(str(len(of_arm)) for of_arm in arms.values())]]
    for name in metrics:
        values = [[run.at_end.get(name, math.nan) for run in of_arm] for of_arm in arms.values()]
        if any(name in run.at_end for run in runs):
            rows.append([name, *map(_spread, values)])
    lines = [f"| {' | '.join(row)} |" for row in (["mean over seeds", *arms], *rows)]
    lines.insert(1, f"|---|{'---:|' * len(arms)}")
    return "\n".join(lines)


def _rank(runs: Sequence[Run], arm: str, name: str, sign: int) -> float:
    """The less the better."""
    found = [run.at_end.get(name, math.nan) for run in runs if run.arm == arm]
    finite = [value for value in found if math.isfinite(value)]
    return -sign * mean(finite) if finite else math.inf


def _spread(values: Sequence[float]) -> str:
    finite = [value for value in values if math.isfinite(value)]
    if not finite:
        return "–"
    spread = f" ± {stdev(finite):.2g}" if len(finite) > 1 else ""
    of = "" if len(finite) == len(values) else f" ({len(finite)} of {len(values)})"
    return f"{mean(finite):.3g}{spread}{of}"
