"""Under shared weights: whose merit a difference is, the architectures' or the weights'."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import mean

import numpy as np

from nas_lightning.analysis.decomposition import Decomposition
from nas_lightning.analysis.statistics import PairedDifference
from nas_lightning.runs.run import Run
from nas_lightning.studies.cross_evaluation import (
    PARTS,
    Scores,
    calibration,
    decompositions,
    own_means,
)
from nas_lightning.studies.differences import AGAINST, over_seeds, paired, spoken, values

EFFECTIVE = "diversity/effective_policy"
AVERAGES = ("mean", "median")


def whose_merit(arm: str, scores: Sequence[Scores]) -> str | None:
    """What lies between two arms, each under its own weights, taken apart."""
    found, medians = (
        list(decompositions(scores, arm, AGAINST, median=median).values())
        for median in (False, True)
    )
    total, home = _part(found, "total"), _part(found, "at_home")
    if total is None or home is None:
        return None
    if all(d.at_home == 0 for d in found):
        return (
            f"Its shared weights are those of {AGAINST}, for both were trained on uniform "
            "architectures. So it searched on the weights by which it is judged here, which is in "
            "its favour against arms with weights of their own."
        )
    effects = ("architectures", "weights", "interaction")
    by_means, by_medians = (
        {name: mean(getattr(d, name) for d in of) for name in effects} for of in (found, medians)
    )
    turned = [name for name in effects[:2] if by_means[name] * by_medians[name] < 0]
    warning = f" The sign of {' and '.join(turned)} hangs on which is taken." if turned else ""
    return (
        f"Under their own weights {total.mean:+.3g} nats {spoken(total)} lie between the two: that "
        f"is this difference, and {home.mean:+.3g} {spoken(home)} that its architectures gain from "
        f"weights trained for them. (As main effects, by means and by medians: "
        + ", ".join(f"{n} {by_means[n]:+.3g} and {by_medians[n]:+.3g}" for n in effects)
        + f".{warning})"
    )


def _part(found: Sequence[Decomposition], name: str) -> PairedDifference | None:
    return over_seeds([getattr(d, name) for d in found])


def fewer_to_serve(arm: str, runs: Sequence[Run], scores: Sequence[Scores]) -> str | None:
    """Whether weights that serve fewer architectures suffice as an explanation.

    Random search among K architectures is measured for some K; between them it is interpolated,
    and beyond them nothing is said.
    """
    number, losses = values(runs, EFFECTIVE), own_means(scores)
    supports = [a for a in losses if a.startswith(AGAINST) and a in number]
    if len(supports) < 2 or arm not in losses or arm not in number:
        return None
    found, outside = [], []
    for seed in sorted(losses[arm].keys() & number[arm].keys()):
        curve = sorted(
            (number[a][seed], losses[a][seed])
            for a in supports
            if seed in number[a] and seed in losses[a]
        )
        if len(curve) < len(supports):
            continue
        widths, measured = zip(*curve, strict=True)
        width = number[arm][seed]
        if not widths[0] <= width <= widths[-1]:
            outside.append((width, widths[0], widths[-1]))
            continue
        expected = np.interp(math.log(width), np.log(widths), measured)
        found.append(losses[arm][seed] - float(expected))
    effective = math.exp(mean(math.log(n) for n in number[arm].values()))
    wide = f"At the end its policy is as wide as {effective:.3g} equally likely architectures"
    difference = over_seeds(found)
    if difference is None:
        return _not_measured(wide, outside)
    says = {
        -1: "so that fewer architectures to serve do not suffice as an explanation",
        0: "so that fewer architectures to serve may suffice as an explanation",
        1: "so that it is not even as good as fewer architectures would make it",
    }[difference.sign]
    rest = f" Seeds outside the range measured, and left out: {len(outside)}." if outside else ""
    return (
        f"{wide}; under its own weights it scores {difference.mean:+.3g} nats against random "
        f"search among as many {spoken(difference)}, {says}.{rest}"
    )


def _not_measured(wide: str, outside: Sequence[tuple[float, float, float]]) -> str | None:
    if not outside:
        return None
    width, least, most = outside[0]
    measured = f"{least:.3g} to {most:.3g}"
    which = "narrower" if width < least else "wider"
    return (
        f"{wide}; that is {which} than any random search that was measured ({measured}), so "
        "whether fewer architectures to serve suffice as an explanation was not measured."
    )


def diversity(arm: str, runs: Sequence[Run]) -> str | None:
    """Whether what it proposes is less diverse than what random search does."""
    distances = values(runs, "diversity/hamming_distance")
    difference = paired(distances, arm)
    if difference is None:
        return None
    says = {-1: "less", 0: "not shown to be less or more", 1: "more"}[difference.sign]
    one, other = (mean(distances[name].values()) for name in (arm, AGAINST))
    return (
        f"It is {says} diverse: two of its architectures differ in {one:.3g} decisions, two of "
        f"{AGAINST}'s in {other:.3g}, a difference of {difference.mean:+.3g} {spoken(difference)}."
    )


def comparison(scores: Sequence[Scores], against: str = AGAINST) -> str:
    """The differences that the sentences are made of, for every arm, as a Markdown table.

    Nats per token, shared; mean over seeds ± half of the 95 % interval, of each sample's mean and
    of its median. `own` is what an arm scores under its own weights, `P(better)` the probability
    that a run of the arm is better than one of `against`, `p` that of Wilcoxon's test, both for
    `total`.

    Args:
        scores: Of a study.
        against: The arm that the others are compared with.
    """
    columns = ["arm", "of each sample's", "seeds", "own", *PARTS.values(), "P(better)", "p"]
    lines = [f"| {' | '.join(columns)} |", f"|---|---|{'---:|' * (len(columns) - 2)}"]
    own = {average: own_means(scores, median=average == "median") for average in AVERAGES}
    for arm in own["mean"]:
        for average in AVERAGES:
            cells = _row(arm, against, scores, own[average], average)
            cells += ["–"] * (len(columns) - len(cells))
            lines.append(f"| {' | '.join(cells)} |")
    lost = {a: n for a in own["mean"] if (n := sum(s.diverged for s in scores if _own(s, a)))}
    if lost:
        listed = ", ".join(f"{arm} {number}" for arm, number in lost.items())
        lines += ["", f"Diverged under their own weights, and in no mean or median: {listed}."]
    changed = calibration(scores)
    if changed:
        calibrated = (f"{c} under {w} {value:+.3g}" for (c, w), value in changed.items())
        lines += ["", f"Calibrated per architecture, which changes: {', '.join(calibrated)}."]
    return "\n".join(lines)


def _own(scores: Scores, arm: str) -> bool:
    return scores.architectures_of == scores.weights_of == arm


def _row(
    arm: str,
    against: str,
    scores: Sequence[Scores],
    own: Mapping[str, dict[int, float]],
    average: str,
) -> list[str]:
    cells = [arm, average, str(len(own[arm])), f"{mean(own[arm].values()):.4g}"]
    total = paired(dict(own), arm, against) if arm != against else None
    if total is None:
        return cells
    found = decompositions(scores, arm, against, median=average == "median").values()
    for name in PARTS:
        part = over_seeds([getattr(d, name) for d in found])
        cells.append("–" if part is None else _half(part))
    cells.append(f"{1 - total.exceeds:.2f}")
    cells.append("–" if total.wilcoxon is None else f"{total.wilcoxon:.2g}")
    return cells


def _half(difference: PairedDifference) -> str:
    if not difference.spread:
        return f"{difference.mean:+.3f}"
    return f"{difference.mean:+.3f} ± {(difference.high - difference.low) / 2:.2g}"
