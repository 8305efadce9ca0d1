"""The best found so far, over what has been spent: in evaluations, in data, in multiply-adds.

The numbers are those recorded at the end of every epoch: in between a search does not ask what is
best. Under shared weights the best one is scored anew each time, so that its curve may fall.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from nas_lightning.files import read_json
from nas_lightning.metrics import Metric
from nas_lightning.runs.config import at
from nas_lightning.runs.folder import DATA
from nas_lightning.runs.records import Series, finite
from nas_lightning.runs.run import Run

Array = NDArray[np.float64]

SPENT = ("tokens", "images", "epochs", "minibatches", "multiply_adds")
"""In what a search counts its cost: `derive/<unit>_spent`."""

BACKWARD = 2
"""What a backward pass takes, in forward passes: to train on an image costs three."""

ALIKE = 0.02
"""Share by which evaluations may differ and count as equally many."""

POINTS = 60
"""Places on a curve."""


@dataclass(frozen=True)
class SoFar:
    """The best so far of one arm.

    Attributes:
        spent: `(N,)`.
        middle: Interquartile mean over seeds `(N,)`: without the best and the worst quarter.
        low: The smallest of the seeds `(N,)`.
        high: The largest `(N,)`.
    """

    spent: Array
    middle: Array
    low: Array
    high: Array


Curve = tuple[Array, Array]
"""What was spent, ascending, and the best then."""


def curves(runs: Sequence[Run], metric: Metric) -> dict[str, dict[tuple[str, int], Curve]]:
    """Unit of the budget -> arm and seed -> curve; only those units that every run knows."""
    found: dict[str, dict[tuple[str, int], Curve]] = {}
    for run in runs:
        best = run.metrics.get(f"derive/best_{metric.name}")
        if best is None:
            continue
        for unit, spent in _costs(run, best):
            found.setdefault(unit, {})[run.arm, run.seed] = spent, np.asarray(best.values)
    most = max((len(of_runs) for of_runs in found.values()), default=0)
    return {unit: of_runs for unit, of_runs in found.items() if len(of_runs) == most}


def so_far(of_runs: Mapping[tuple[str, int], Curve]) -> dict[str, SoFar]:
    """Arm -> its curve over seeds, as far as all its seeds have got."""
    found = {}
    for arm in dict.fromkeys(arm for arm, _ in of_runs):
        seeds = [curve for (name, _), curve in of_runs.items() if name == arm]
        start, end = max(spent[0] for spent, _ in seeds), min(spent[-1] for spent, _ in seeds)
        if end < start:
            continue
        places = np.unique(np.concatenate([spent for spent, _ in seeds]))
        places = places[(places >= start) & (places <= end)]
        if len(places) > POINTS:
            places = np.linspace(start, end, POINTS)
        values = np.array([[value_at(curve, place) for place in places] for curve in seeds])
        whole = np.isfinite(values).all(axis=0)
        if whole.any():
            there = values[:, whole]
            middle = stats.trim_mean(there, 0.25, axis=0)
            found[arm] = SoFar(places[whole], middle, there.min(axis=0), there.max(axis=0))
    return found


def equal_cost(runs: Sequence[Run], metric: Metric) -> dict[tuple[str, int], float]:
    """Arm and seed -> the best found in equally many evaluations; NaN where it was not finite.

    As many as the shortest run had at its end. A child that was trained before counts again.
    """
    of_runs = curves(runs, metric).get("evaluations", {})
    budget = min((spent[-1] for spent, _ in of_runs.values()), default=0.0)
    return {key: value_at(curve, budget * (1 + ALIKE)) for key, curve in of_runs.items()}


def equality(runs: Sequence[Run], metric: Metric) -> str | None:
    """By which of what was spent the arms are equal at their ends, in a sentence; None for one arm.

    A unit that some arm does not know is left out.
    """
    equal, unequal = [], []
    for unit, of_runs in curves(runs, metric).items():
        arms: dict[str, list[float]] = {}
        for (arm, _), (spent, _) in of_runs.items():
            arms.setdefault(arm, []).append(float(spent[-1]))
        means = [sum(ends) / len(ends) for ends in arms.values()]
        if len(means) > 1:
            ratio = max(means) / min(means)
            if ratio <= 1 + ALIKE:
                equal.append(unit)
            else:
                unequal.append(f"{unit} (the most is {ratio:.3g} times the least)")
    if not equal and not unequal:
        return None
    return f"The arms are equal by {' and '.join(equal) or 'nothing that was counted'}" + (
        f", and not by {', '.join(unequal)}." if unequal else "."
    )


def value_at(curve: Curve, spent: float) -> float:
    """The best when so much had been spent; NaN before the first was known."""
    place = int(np.searchsorted(curve[0], spent * (1 + 1e-9), side="right")) - 1
    return float(curve[1][place]) if place >= 0 else math.nan


def _costs(run: Run, best: Series) -> Iterator[tuple[str, Array]]:
    """What had been spent at each value of the best, in every unit that is known."""
    yield "evaluations", np.asarray(best.judged, np.float64)
    description = read_json(run.folder / DATA) or {}
    for unit in SPENT:
        series = run.metrics.get(f"derive/{unit}_spent")
        if series is None or series.epochs != best.epochs or not series.values[-1] > 0:
            continue
        spent = np.asarray(series.values)
        if unit != "epochs":
            yield unit.replace("_", "-"), spent
            continue
        images = finite((description.get("images") or {}).get("train"))
        if images is None:
            yield unit, spent
            continue
        yield "images", spent * images
        multiply_adds = _multiply_adds(run, best, description)
        if multiply_adds is not None:
            yield "multiply-adds", multiply_adds


def _multiply_adds(run: Run, best: Series, description: Mapping[str, object]) -> Array | None:
    """Of children trained from scratch, each once; None where they were not counted.

    An image costs a forward pass, and two more where it is trained on; a child is scored on the
    validation split after every epoch.
    """
    images = description.get("images")
    epochs = finite(at(run.config, "estimator.training.epochs"))
    if not isinstance(images, Mapping) or epochs is None:
        return None
    train, validation = (finite(images.get(split)) or 0 for split in ("train", "validation"))
    of_child = epochs * ((1 + BACKWARD) * train + validation)
    forward = run.judged.forward
    if not forward or max(best.judged) > len(forward):
        return None
    return np.array([forward[n - 1] * of_child if n else 0.0 for n in best.judged])
