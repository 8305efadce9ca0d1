"""What a run has left in its folder, read as far as it can be read.

A report is also made of runs that are going on, and of files that a full disk or an editor has
damaged: a line that cannot be read is left out and counted, and the rest is shown.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nas_lightning.errors import UserError
from nas_lightning.files import read_json
from nas_lightning.metrics import Direction, Metric
from nas_lightning.runs.config import REFERENCES
from nas_lightning.runs.folder import DECLARED, UNDEFINED
from nas_lightning.runs.ledger import Metrics
from nas_lightning.terminal import called, shown, words

Row = Mapping[str, Any]

PLACE = ("epoch", "controller_step", "architectures_judged")
"""The axes of a metric that a reader needs."""

TOP = 100
"""How many of a ledger's architectures are shown."""


OF_BIRTH = ("actions", "reward", "origin", "epoch", "controller_step")
"""What is kept of the rows of a population."""

VERSION_0_1: dict[str, Direction] = {"loss": "less", "perplexity": "less", "accuracy": "more"}
"""The metrics of version 0.1, whose runs do not say which way is better."""


@dataclass
class Series:
    """The values of one metric in the order in which they were recorded.

    Attributes:
        epochs: When, counted from 0.
        steps: The controller's steps by then.
        judged: The architectures judged by then.
        values: The values; NaN and infinities may be among them.
    """

    epochs: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    judged: list[int] = field(default_factory=list)
    values: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class LedgerSummary:
    """What a report needs of a ledger.

    Attributes:
        rows: How many architectures were judged.
        best: The best rows by the objective, best first, every architecture once.
        candidates: The rows of the last derivation's candidates, every architecture once.
        diverged: How many rows have no finite value of the objective.
        forward: Multiply-adds of a forward pass of every architecture so far, each counted once, a
            number a row; empty where they were not counted.
        bred: The rows of a controller that keeps a population, in order: those with an origin.
        beside: The last row of the architecture made by hand, if there is one.
    """

    rows: int
    best: list[Row]
    candidates: list[Row]
    diverged: int
    forward: list[float]
    bred: list[Row]
    beside: Row | None


def read_metrics(path: Path) -> tuple[dict[str, Series], int]:
    """The metrics of a run by name, and how many lines could not be read."""
    found: dict[str, Series] = {}
    damaged = 0
    with path.open(encoding="utf-8", errors="replace", newline="") as file:
        rows = csv.DictReader((line.replace("\0", "") for line in file), Metrics.HEADER)
        head = True
        while True:
            try:
                row = next(rows, None)
                if row is None:
                    break
                name, first, head = row["name"], head, False
                if first and tuple(row.values()) == Metrics.HEADER:
                    continue
                axes = [int(row[axis]) for axis in PLACE]
                value = float(row["value"])
            except (csv.Error, KeyError, TypeError, ValueError):
                damaged += 1
                continue
            series = found.setdefault(name, Series())
            for column, number in zip(
                (series.epochs, series.steps, series.judged), axes, strict=True
            ):
                column.append(number)
            series.values.append(value)
    return found, damaged


def read_objects(path: Path, needed: Mapping[str, type]) -> Iterator[Row | None]:
    """The JSON objects of a file, one a line; None for a line that cannot be read.

    An unfinished last line is that of a process which is writing, and no damage: it is left out.

    Args:
        path: The file.
        needed: The fields without which an object is of no use, and their types.
    """
    with path.open("rb") as file:
        for line in file:
            if not line.endswith(b"\n"):
                return
            try:
                row = json.loads(line.decode())  # of bytes it would guess the encoding
            except (ValueError, RecursionError):  # no JSON, or a thousand brackets deep
                yield None
                continue
            whole = isinstance(row, dict)
            for name, kind in needed.items():
                whole = whole and isinstance(row.get(name), kind)
            yield row if whole else None


def read_ledger(path: Path, objective: Metric) -> tuple[LedgerSummary, int]:
    """What a report needs of a ledger, and how many lines could not be read.

    Args:
        path: The ledger.
        objective: The metric by which architectures are compared.
    """
    best = _Best()
    candidates: list[Row] = []
    beside: Row | None = None
    rows = diverged = damaged = 0
    forward: list[float] = []
    bred: list[Row] = []
    seen: set[tuple[int, ...]] = set()
    needed = {"actions": list, "metrics": dict, "purpose": str, "epoch": int}
    for row in read_objects(path, needed):
        if row is None or not {int}.issuperset(map(type, row["actions"])):
            damaged += 1
            continue
        rows += 1
        if "origin" in row:
            bred.append({name: row.get(name) for name in OF_BIRTH})
        actions, cost = tuple(row["actions"]), finite(row["metrics"].get("multiply_adds"))
        if cost is not None:
            before = forward[-1] if forward else 0.0
            forward.append(before + cost * (actions not in seen))
            seen.add(actions)
        if row["purpose"] == "candidate":
            if candidates and candidates[-1]["epoch"] != row["epoch"]:
                candidates = []
            candidates.append(row)
        if row["purpose"] == "beside":
            beside = row
        value = finite(row["metrics"].get(objective.name))
        if value is None:
            diverged += 1
            continue
        best.see(actions, objective.sign * value, row)
    counted = forward if len(forward) == rows else []
    return LedgerSummary(rows, best.ranked(), candidates, diverged, counted, bred, beside), damaged


class _Best:
    """The best rows, every architecture once: a ledger has millions, and few of them are held."""

    def __init__(self) -> None:
        self._rows: dict[tuple[int, ...], tuple[float, Row]] = {}
        self._bar = -math.inf

    def see(self, actions: tuple[int, ...], worth: float, row: Row) -> None:
        """Hold a row, unless `TOP` others are as good, or its architecture did better before."""
        if worth <= self._bar or worth <= self._rows.get(actions, (-math.inf,))[0]:
            return
        self._rows[actions] = worth, row
        if len(self._rows) >= 10 * TOP:  # seldom, for all are sorted
            self._rows = dict(self._sorted())
            self._bar = min(worth for worth, _ in self._rows.values())

    def ranked(self) -> list[Row]:
        """The `TOP` best, best first; of equals those that were judged first."""
        return [row for _, (_, row) in self._sorted()]

    def _sorted(self) -> list[tuple[tuple[int, ...], tuple[float, Row]]]:
        return sorted(self._rows.items(), key=lambda item: -item[1][0])[:TOP]


def declared_in(folder: Path) -> dict[str, Metric]:
    """The metrics that the run in a folder has declared, by name; those of version 0.1 if none."""
    declared = read_json(folder / DECLARED)
    if declared is None:
        return {n: Metric(name=n, unit="", direction=d) for n, d in VERSION_0_1.items()}
    try:
        metrics = [Metric(**metric) for metric in declared["metrics"]]
    except (KeyError, TypeError, ValueError):
        raise UserError(
            f"{shown(folder / DECLARED)}: holds no metrics; put it back, or move the run away"
        ) from None
    return {metric.name: metric for metric in metrics}


def declared_by(folder: Path, name: str) -> Metric:
    """What the run in a folder has declared a metric to be.

    Raises:
        UserError: If nothing says which way is better.
    """
    declared = declared_in(folder)
    if name not in declared:
        raise UserError(
            f"{shown(folder)}: whether less or more of {name} is better stands nowhere; "
            f"put its {DECLARED} back"
        )
    return declared[name]


def objective_in(record: Mapping[str, Any]) -> Metric:
    """The objective of a JSON file that names it with its unit and direction.

    A file of version 0.1 has the name alone.

    Raises:
        UserError: If nothing says which way is better.
    """
    name = str(record.get("objective", "loss"))
    direction = record.get("direction") or VERSION_0_1.get(name)
    if direction not in ("less", "more"):
        raise UserError(f"whether less or more of {name} is better stands nowhere in its file")
    return Metric(name=name, unit=str(record.get("unit", "")), direction=direction)


def undefined_in(folder: Path, recorded: Collection[str]) -> list[str]:
    """What is not defined for the controller of the run in a folder, which has no policy.

    Args:
        folder: The run's.
        recorded: The names of its metrics.
    """
    found = sorted(path.name for path in (folder / "analysis").glob(f"*{UNDEFINED}"))
    without = "derive/reward" in recorded and "derive/kl_to_uniform" not in recorded
    of_policy = ["KL to uniform", "entropy"] if without else []
    return of_policy + [words(name.removesuffix(UNDEFINED)) for name in found]


def read_final(path: Path) -> dict[str, Any]:
    """The final numbers of a retraining.

    Raises:
        UserError: If the file holds something else.
    """
    final = read_json(path)
    if final is None or not all(
        map(_of_seeds, (final, *(final.get(of) or {} for of in REFERENCES)))
    ):
        raise UserError(
            f"{shown(path)}: holds no final numbers; move it away, and repeat {called('retrain')}"
        )
    return final


def readable_finals(run: Path) -> tuple[list[tuple[Path, dict[str, Any]]], list[Path]]:
    """The final numbers of a run's retrainings, by file, and the files that hold none."""
    found, damaged = [], []
    for path in sorted(run.glob("retrain/**/final*.json")):
        try:
            found.append((path, read_final(path)))
        except UserError:
            damaged.append(path)
    return found, damaged


def _of_seeds(network: object) -> bool:
    """Whether what is there of a network's numbers are metrics for every seed."""
    if not isinstance(network, dict):
        return False
    name = network.get("objective", "loss")
    splits = [network.get(split, []) for split in ("test", "validation")]
    return isinstance(name, str) and all(
        isinstance(metrics, dict)
        and all(value is None or finite(value) is not None for value in metrics.values())
        for split in splits
        for metrics in (split if isinstance(split, list) else [None])
    )


def finite(value: object) -> float | None:
    """A number as a float; None for what is no finite number."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    try:
        number = float(value)
    except OverflowError:  # JSON knows whole numbers of any length
        return None
    return number if math.isfinite(number) else None
