"""Whose architectures, whose weights: what a study's `cross_evaluation.jsonl` holds, and says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from nas_lightning.analysis.decomposition import decompose, weighted_mean, weighted_median
from nas_lightning.analysis.statistics import paired_difference
from nas_lightning.report.charts import Sample, shares
from nas_lightning.report.contents import Cell, Figure, Section, Table
from nas_lightning.report.records import finite, read_objects
from nas_lightning.report.svg import inline

CROSS_EVALUATION = "cross_evaluation.jsonl"
OTHER = "random"
"""The arm that all others are compared with."""

PARTS = ("total", "architectures", "weights", "interaction")
AVERAGES = {"mean": weighted_mean, "median": weighted_median}

EXPLAINED = (
    "Loss of an arm minus that of random search, each under its own shared weights, is the total. "
    "Scoring the architectures of both under the weights of both takes it apart: the share of "
    "whose architectures they are, and the share of whose weights judge them, which add up to the "
    "total; the interaction is how far either is at home. Below zero is better than random. Mean "
    "over seeds, with its 95 % interval."
)


@dataclass(frozen=True)
class Crossed:
    """Losses of architectures under weights, nats per token.

    Attributes:
        losses: (seed, architectures of, weights of) -> losses of the distinct architectures, and
            how often each was drawn.
        diverged: How many architectures have no finite loss, and are left out.
        damaged: How many lines could not be read.
        minibatches: On how many validation minibatches, in words.
    """

    losses: Mapping[tuple[int, str, str], Sample]
    diverged: int
    damaged: int
    minibatches: str

    @property
    def arms(self) -> set[str]:
        """The arms whose architectures were scored."""
        return {arm for _, arm, _ in self.losses}

    def own(self) -> dict[str, Sample]:
        """Each arm's architectures under the weights of their own run, all seeds together."""
        arms = sorted({c for _, c, w in self.losses if c == w})
        found: dict[str, Sample] = {}
        for arm in arms:
            samples = [sample for (_, c, w), sample in self.losses.items() if c == w == arm]
            values, counts = zip(*samples, strict=True)
            found[arm] = np.concatenate(values), np.concatenate(counts)
        return found


def read_crossed(study: Path) -> Crossed | None:
    """A study's cross-evaluation; None where there is none."""
    path = study / CROSS_EVALUATION
    if not path.exists():
        return None
    losses: dict[tuple[int, str, str], Sample] = {}
    diverged = damaged = 0
    minibatches = set()
    needed = {
        "seed": int, "architectures_of": str, "weights_of": str, "losses": list, "counts": list,
    }  # fmt: skip
    for row in read_objects(path, needed):
        if row is None or len(row["losses"]) != len(row["counts"]):
            damaged += 1
            continue
        pairs = [(finite(x), n) for x, n in zip(row["losses"], row["counts"], strict=True)]
        good = [(x, n) for x, n in pairs if x is not None]
        diverged += len(pairs) - len(good)
        if good:
            values, counts = zip(*good, strict=True)
            minibatches.add(row.get("minibatches", "some"))
            key = row["seed"], row["architectures_of"], row["weights_of"]
            losses[key] = np.array(values, np.float64), np.array(counts, np.int64)
    return Crossed(losses, diverged, damaged, ", ".join(map(str, sorted(minibatches, key=str))))


def decomposition(crossed: Crossed | None, colours: Mapping[str, str]) -> Section | None:
    """Every arm's difference from random search, taken apart."""
    if crossed is None:
        return None
    arms = [arm for arm in colours if arm != OTHER]
    rows: list[list[Cell]] = []
    drawn: dict[str, dict[str, tuple[float, float, float]]] = {part: {} for part in PARTS}
    for average, function in AVERAGES.items():
        for arm in arms:
            parts = _parts(crossed, arm, function)
            if not parts["total"]:
                continue
            n = len(parts["total"])
            rows.append([arm, average, n, *(_interval(parts[part]) for part in PARTS)])
            if average == "mean" and n >= 2:
                for part in PARTS:
                    found = paired_difference(parts[part], [0.0] * n)
                    drawn[part][arm] = found.mean, found.low, found.high
    if not rows:
        return None
    text = [EXPLAINED]
    if crossed.diverged:
        text.append(f"{crossed.diverged} scores are no finite numbers, and are left out.")
    head = ["arm", "of each sample's", "seeds", "total", "architectures", "weights", "interaction"]
    where = f"on {crossed.minibatches} validation minibatches"
    caption = f"Arm minus {OTHER}, nats per token (shared), {where}"
    table = Table(caption, head, rows)
    return Section(
        "decomposition",
        "Whose architectures, whose weights?",
        text,
        _bars(drawn, colours),
        [table],
        by_arm=len(arms) > 1,
    )


def _parts(
    crossed: Crossed, arm: str, average: Callable[[torch.Tensor, torch.Tensor], float]
) -> dict[str, list[float]]:
    """Part -> its value for every seed that has all four combinations."""
    found: dict[str, list[float]] = {part: [] for part in PARTS}
    both = (arm, OTHER)
    for seed in sorted({seed for seed, *_ in crossed.losses}):
        if all((seed, c, w) in crossed.losses for c in both for w in both):
            y = [[_average(crossed, (seed, c, w), average) for w in both] for c in both]
            parts = decompose(y)
            for part in PARTS:
                found[part].append(getattr(parts, part))
    return found


def _average(
    crossed: Crossed,
    key: tuple[int, str, str],
    average: Callable[[torch.Tensor, torch.Tensor], float],
) -> float:
    losses, counts = crossed.losses[key]
    return average(torch.from_numpy(losses), torch.from_numpy(counts))


def _interval(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:+.3g}"
    found = paired_difference(values, [0.0] * len(values))
    return f"{found.mean:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"


def _bars(
    drawn: Mapping[str, Mapping[str, tuple[float, float, float]]], colours: Mapping[str, str]
) -> list[Figure]:
    if not drawn["total"]:
        return []
    said = "; ".join(
        f"{arm}: " + ", ".join(f"{part} {drawn[part][arm][0]:+.3g}" for part in PARTS)
        for arm in drawn["total"]
    )
    x = f"loss minus {OTHER}'s, nats per token (shared)"
    image = inline(shares(drawn, colours, x=x), name="shares", alt=f"{x}. {said}")
    return [Figure(image, "Means of means; the lines are 95 % intervals", wide=True)]
