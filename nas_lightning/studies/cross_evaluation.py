"""Whose architectures, under whose weights: the record of a study's cross-evaluation.

`cross_evaluation.jsonl` lies in the study's folder and only grows, a line for every seed, arm
whose controller proposed, and arm whose shared weights judged. What is said of it is computed here.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean
from typing import Any

import torch
from torch import Tensor

from nas_lightning.analysis.decomposition import (
    Decomposition,
    decompose,
    weighted_mean,
    weighted_median,
)
from nas_lightning.files import to_json
from nas_lightning.files import write_csv as write_table
from nas_lightning.runs.records import read_objects

RECORD = "cross_evaluation.jsonl"
PARTS = {
    "total": "total",
    "abroad": "under random's weights",
    "at_home": "by weights of its own",
    "architectures": "architectures' share",
    "weights": "weights' share",
    "interaction": "interaction",
}
"""The parts of a difference by their names in `analysis.decomposition`, and in words."""


PLACE = ("seed", "architectures_of", "weights_of")
COLUMNS = (*PLACE, "drawn", "distinct", "diverged", "mean", "median", "mean_uncalibrated")
"""Of the CSV."""


NEEDED = {
    "seed": int,
    "architectures_of": str,
    "weights_of": str,
    "losses": list,
    "counts": list,
    "epochs": list,
}
"""The fields of a line without which it is of no use."""


@dataclass(frozen=True)
class Scores:
    """The architectures of one controller under the shared weights of one run.

    Attributes:
        seed: Of both runs.
        architectures_of: The arm whose controller proposed.
        weights_of: The arm whose weights judged.
        losses: Of the distinct architectures, nats per token; NaN where one diverged.
        counts: How often each was drawn.
        uncalibrated: The same losses with the normalisation statistics that training left; None
            where nothing is normalised.
        minibatches: Of the validation split, from its beginning.
        epochs: Of the two runs.
    """

    seed: int
    architectures_of: str
    weights_of: str
    losses: Sequence[float]
    counts: Sequence[int]
    uncalibrated: Sequence[float] | None
    minibatches: int
    epochs: tuple[int, int]

    @property
    def drawn(self) -> int:
        """How many architectures were drawn."""
        return sum(self.counts)

    @property
    def diverged(self) -> int:
        """How many of them have no finite loss; means and medians leave them out."""
        pairs = zip(self.losses, self.counts, strict=True)
        return sum(count for loss, count in pairs if not math.isfinite(loss))

    @property
    def place(self) -> tuple[int, str, str]:
        """Which cell of which table this is."""
        return self.seed, self.architectures_of, self.weights_of

    def mean(self) -> float:
        """Mean loss of all that were drawn, nats per token."""
        return weighted_mean(*self.tensors())

    def median(self) -> float:
        """Their median."""
        return weighted_median(*self.tensors())

    def mean_uncalibrated(self) -> float | None:
        """The mean with the normalisation statistics that training left."""
        if self.uncalibrated is None:
            return None
        return weighted_mean(*_finite(self.uncalibrated, self.counts))

    def tensors(self) -> tuple[Tensor, Tensor]:
        """The finite losses, float64, and how often each was drawn."""
        return _finite(self.losses, self.counts)


def _finite(losses: Sequence[float], counts: Sequence[int]) -> tuple[Tensor, Tensor]:
    values = torch.tensor(losses, dtype=torch.float64)
    finite = values.isfinite()
    return values[finite], torch.tensor(counts)[finite]


def read_record(study: Path) -> tuple[list[Scores], int]:
    """A study's record, the last line of each place, and how many lines could not be read.

    An unfinished last line is left out; without a record there is nothing.
    """
    path, found, damaged = study / RECORD, {}, 0
    for row in read_objects(path, NEEDED) if path.exists() else ():
        try:
            assert row is not None
            scores = Scores(**{**row, "epochs": tuple(row["epochs"]), **_numbers(row)})
            assert len(scores.epochs) == 2
            for losses in (scores.losses, scores.uncalibrated or scores.losses):
                assert len(losses) == len(scores.counts)
                assert all(type(loss) is float for loss in losses)
            assert all(type(n) is int and 0 < n < 2**31 for n in (*scores.counts, *scores.epochs))
        except (AssertionError, KeyError, TypeError):
            damaged += 1
            continue
        found[scores.place] = scores
    return list(found.values()), damaged


def _numbers(row: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The losses of a row, NaN where JSON has null."""
    return {
        name: [math.nan if loss is None else loss for loss in row[name]]
        for name in ("losses", "uncalibrated")
        if row[name] is not None
    }


def append_scores(study: Path, scores: Iterable[Scores]) -> None:
    """Add lines to a study's record; a last one that was left unfinished is cut off."""
    path = study / RECORD
    if path.exists():
        written = path.read_bytes()
        os.truncate(path, written.rfind(b"\n") + 1)
    with path.open("a", encoding="utf-8") as file:
        for row in scores:
            file.write(to_json(asdict(row)) + "\n")


def decompositions(
    scores: Iterable[Scores], arm: str, against: str, *, median: bool = False
) -> dict[int, Decomposition]:
    """For each seed of which all four cells are there, the difference `arm - against` taken apart.

    Args:
        scores: Of a study.
        arm: L of the table.
        against: R of the table.
        median: Of medians instead of means.
    """
    whole = [s for s in scores if s.diverged < s.drawn]
    y = {s.place: s.median() if median else s.mean() for s in whole}
    pair = (arm, against)
    return {
        seed: decompose([[y[seed, c, w] for w in pair] for c in pair])
        for seed in sorted({seed for seed, _, _ in y})
        if all((seed, c, w) in y for c in pair for w in pair)
    }


def own_samples(scores: Iterable[Scores]) -> dict[str, tuple[Tensor, Tensor]]:
    """Arm -> losses of its architectures under its own weights, all seeds, and their counts."""
    found: dict[str, list[tuple[Tensor, Tensor]]] = {}
    for s in scores:
        if s.architectures_of == s.weights_of:
            found.setdefault(s.weights_of, []).append(s.tensors())
    parts = {arm: zip(*samples, strict=True) for arm, samples in found.items()}
    return {arm: tuple(torch.cat(side) for side in sides) for arm, sides in parts.items()}  # type: ignore[misc]


def own_means(scores: Iterable[Scores], *, median: bool = False) -> dict[str, dict[int, float]]:
    """Arm -> seed -> mean loss of its architectures under its own weights, nats per token.

    Args:
        scores: Of a study.
        median: Their median instead.
    """
    found: dict[str, dict[int, float]] = {}
    for s in scores:
        if s.architectures_of == s.weights_of and s.diverged < s.drawn:
            found.setdefault(s.weights_of, {})[s.seed] = s.median() if median else s.mean()
    return found


def write_csv(scores: Iterable[Scores], path: Path) -> None:
    """Write a CSV: a row a line of the record, with means instead of single architectures."""
    rows = []
    for s in sorted(scores, key=lambda s: s.place):
        numbers = (s.mean(), s.median(), s.mean_uncalibrated())
        shown = ["" if number is None else f"{number:.6g}" for number in numbers]
        rows.append([*s.place, s.drawn, len(s.losses), s.diverged, *shown])
    write_table(path, COLUMNS, rows)


def calibration(scores: Iterable[Scores]) -> dict[tuple[str, str], float]:
    """What calibration changes: (architectures of, weights of) -> mean difference over seeds.

    Calibrated minus uncalibrated, nats per token; empty where nothing is normalised.
    """
    found: dict[tuple[str, str], list[float]] = {}
    for s in scores:
        before = s.mean_uncalibrated()
        if before is not None:
            found.setdefault(s.place[1:], []).append(s.mean() - before)
    return {pair: mean(values) for pair, values in found.items()}
