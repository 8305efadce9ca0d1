"""Whose architectures, whose weights: the section that takes a difference apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas_lightning.analysis.statistics import paired_difference
from nas_lightning.report.charts import shares
from nas_lightning.report.contents import Cell, Figure, Section, Table
from nas_lightning.report.svg import inline
from nas_lightning.studies.cross_evaluation import PARTS, Scores, decompositions
from nas_lightning.studies.differences import AGAINST

EXPLAINED = (
    "Loss of an arm minus that of random search, each under its own shared weights, is the total. "
    "It has two parts: how much better the arm's architectures are under random's weights, which "
    "have served all architectures alike, and what they gain from the weights that were trained "
    "for them. Below zero is better than random. Mean over seeds, with its 95 % interval.",
    "The main effects of the two-way table stand beside: the shares of whose architectures and of "
    "whose weights, which add up to the total too, and their interaction. Where that is large the "
    "architectures' share is no merit: it also counts how badly random architectures do under "
    "weights that were trained for others.",
)

DRAWN = ("total", "abroad", "at_home")


def decomposition(scores: Sequence[Scores], colours: Mapping[str, str]) -> Section | None:
    """Every arm's difference from random search, taken apart."""
    arms = [arm for arm in colours if arm != AGAINST]
    rows: list[list[Cell]] = []
    drawn: dict[str, dict[str, tuple[float, float, float]]] = {part: {} for part in DRAWN}
    for average in ("mean", "median"):
        for arm in arms:
            found = decompositions(scores, arm, AGAINST, median=average == "median").values()
            if not found:
                continue
            parts = {part: [getattr(d, part) for d in found] for part in PARTS}
            rows.append([arm, average, len(found), *(_interval(parts[part]) for part in PARTS)])
            if average == "mean" and len(found) >= 2:
                for part in DRAWN:
                    over = paired_difference(parts[part], [0.0] * len(found))
                    ends = (over.low, over.high) if over.spread else (over.mean, over.mean)
                    drawn[part][arm] = over.mean, *ends
    if not rows:
        return None
    text = [*EXPLAINED]
    diverged = sum(s.diverged for s in scores)
    if diverged:
        text.append(f"{diverged} architectures have no finite loss, and are left out.")
    head = ["arm", "of each sample's", "seeds", *PARTS.values()]
    minibatches = ", ".join(map(str, sorted({s.minibatches for s in scores})))
    where = f"on {minibatches} validation minibatches"
    caption = f"Arm minus {AGAINST}, nats per token (shared), {where}"
    return Section(
        "decomposition",
        "Whose architectures, whose weights?",
        text,
        _bars(drawn, colours),
        [Table(caption, head, rows)],
        by_arm=len(arms) > 1,
    )


def _interval(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:+.3g}"
    found = paired_difference(values, [0.0] * len(values))
    if not found.spread:
        return f"{found.mean:+.3g}, the same for every seed"
    return f"{found.mean:+.3g} [{found.low:+.3g}, {found.high:+.3g}]"


def _bars(
    drawn: Mapping[str, Mapping[str, tuple[float, float, float]]], colours: Mapping[str, str]
) -> list[Figure]:
    if not drawn["total"]:
        return []
    said = "; ".join(
        f"{arm}: " + ", ".join(f"{PARTS[part]} {drawn[part][arm][0]:+.3g}" for part in DRAWN)
        for arm in drawn["total"]
    )
    x = f"loss minus {AGAINST}'s, nats per token (shared)"
    bars = {PARTS[part]: by_arm for part, by_arm in drawn.items()}
    image = inline(shares(bars, colours, x=x), name="shares", alt=f"{x}. {said}")
    return [Figure(image, "Means of means; the lines are 95 % intervals", wide=True)]
