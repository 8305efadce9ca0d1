"""Is the controller better than random? A study's answer in plain sentences, with its uncertainty.

Every sentence says over how many seeds it stands and what kind of number it is about. Differences
of losses are in nats per token.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from statistics import mean

import numpy as np

from nas_lightning.analysis.statistics import LEVEL, PairedDifference, paired_difference
from nas_lightning.errors import UserError
from nas_lightning.files import read_json
from nas_lightning.metrics import Metric
from nas_lightning.runs.folder import BEST
from nas_lightning.runs.records import readable_finals
from nas_lightning.search_spaces.child import LOSS, PERPLEXITY
from nas_lightning.studies.cross_evaluation import (
    PARTS,
    Scores,
    calibration,
    decompositions,
    own_means,
    read_scores,
)
from nas_lightning.studies.finished_runs import RunNumbers, finished_runs, objective_of
from nas_lightning.terminal import called

AGAINST = "random"
"""The arm that every other one has to beat."""

CONTROLS = ("random", "permuted", "untrained")
"""Arms, and beginnings of arms' names, that nobody expects to learn."""

KL = "derive/kl_to_uniform"
MOVED = 0.1
"""KL to uniform, nats, from which on a policy has moved: ten times what an untrained LSTM reads."""

Values = dict[str, dict[int, float]]
"""Arm -> seed -> value."""


def verdict_of(study: Path) -> list[list[str]]:
    """What a study says of every arm, its answer first; empty without two seeds of two arms.

    Args:
        study: Its folder.
    """
    try:
        runs = finished_runs(study)
    except UserError:  # none has finished yet, or they are not named by arm and seed
        return []
    scores = read_scores(study)
    own = values(runs, f"derive/{compared(runs).name}_mean")
    return [
        verdict_on(arm, runs, scores) for arm in contenders(runs) if paired(own, arm) is not None
    ]


def compared(runs: Sequence[RunNumbers]) -> Metric:
    """By what arms are compared: their objective, but losses where that is the perplexity.

    One exploding architecture ruins a mean of perplexities.
    """
    objective = objective_of(runs)
    return LOSS if objective is None or objective.name == PERPLEXITY.name else objective


def unit_of(metric: Metric) -> str:
    """What stands behind a difference in a metric."""
    return metric.unit or metric.title


def contenders(runs: Sequence[RunNumbers]) -> list[str]:
    """The arms that may be better than random, the plain LSTM first."""
    arms = dict.fromkeys(run.arm for run in runs)
    found = [arm for arm in arms if not arm.startswith(CONTROLS)]
    return sorted(found, key=lambda arm: arm != "lstm")


def verdict_on(arm: str, runs: Sequence[RunNumbers], scores: Sequence[Scores]) -> list[str]:
    """The sentences about one arm."""
    sentences = [*_answer(arm, runs, scores), _shares(arm, scores), _signs(arm, runs)]
    sentences += [_fewer(arm, runs, scores), _diversity(arm, runs), _finals(arm, runs)]
    return [sentence for sentence in sentences if sentence]


def values(runs: Sequence[RunNumbers], name: str) -> Values:
    """The last value of a metric, where it is there and finite."""
    found: Values = {}
    for run in runs:
        if math.isfinite(run.last.get(name, math.nan)):
            found.setdefault(run.arm, {})[run.seed] = run.last[name]
    return found


def paired(of: Values, arm: str, against: str = AGAINST) -> PairedDifference | None:
    """The difference `arm - against` over their common seeds; None with fewer than two."""
    one, other = of.get(arm, {}), of.get(against, {})
    seeds = sorted(one.keys() & other.keys())
    if len(seeds) < 2:
        return None
    return paired_difference([one[s] for s in seeds], [other[s] for s in seeds])


def over_seeds(numbers: Sequence[float]) -> PairedDifference | None:
    """The mean of numbers that are differences already, a number a seed."""
    if len(numbers) < 2:
        return None
    return paired_difference(numbers, [0.0] * len(numbers))


def spoken(difference: PairedDifference, kind: str = "") -> str:
    """An interval and what it stands on, in brackets."""
    pilot = ", a pilot" if difference.pilot else ""
    of_kind = f", {kind}" if kind else ""
    return (
        f"({LEVEL:.0%} interval {difference.low:+.3g} to {difference.high:+.3g}, "
        f"{difference.n} seeds{pilot}{of_kind})"
    )


# ------------------------------------------------------------------- a sentence each


def _answer(arm: str, runs: Sequence[RunNumbers], scores: Sequence[Scores]) -> list[str]:
    """The answer in a few words, and what it stands on."""
    kind, metric = _kind(runs), compared(runs)
    own = paired(values(runs, f"derive/{metric.name}_mean"), arm)
    assert own is not None
    if not learned(arm, runs):
        moved = (
            "Neither has its policy left the uniform one nor does it"
            if values(runs, KL).get(arm)
            else "It has no policy, and does not"
        )
        return [
            f"{arm}: the controller did not learn.",
            f"{moved} propose anything better under the same weights; whatever else differs from "
            f"{AGAINST} is not its merit.",
        ]
    abroad = [d.abroad for d in decompositions(scores, arm, AGAINST).values()]
    if kind != "shared":
        how = "Known exactly" if kind == "exact" else "Trained from scratch"
        return [
            f"{arm}: {_yes(own, metric)}",
            f"{how}, what it proposes in the end scores {own.mean:+.3g} {unit_of(metric)} "
            f"against {AGAINST}'s {spoken(own, kind)}.",
        ]
    apart = over_seeds(abroad)
    if apart is None:
        return [
            f"{arm}: not known yet.",
            f"Under its own weights what it proposes scores {own.mean:+.3g} {unit_of(metric)} "
            f"against {AGAINST}'s {spoken(own, kind)}; whether that is the merit of its "
            "architectures or of weights that serve fewer of them is what "
            f"{called('cross-evaluate')} tells.",
        ]
    return [
        f"{arm}: {_yes(apart, LOSS)}",
        f"Judged under the weights of {AGAINST}, which have served all architectures alike, its "
        f"architectures score {apart.mean:+.3g} nats per token against {AGAINST}'s "
        f"{spoken(apart, kind)}.",
    ]


def _yes(difference: PairedDifference, metric: Metric) -> str:
    if difference.sign * metric.sign > 0:
        return f"yes, better than {AGAINST}."
    if difference.sign * metric.sign < 0:
        return f"no, worse than {AGAINST}."
    return f"not shown to be better than {AGAINST}."


def learned(arm: str, runs: Sequence[RunNumbers]) -> bool:
    """Whether the policy has moved, or what is proposed is better than uniform for certain."""
    gain = over_seeds(list(values(runs, "derive/reward_minus_uniform").get(arm, {}).values()))
    moved = values(runs, KL).get(arm, {})
    far = bool(moved) and mean(moved.values()) > MOVED
    return far or (gain is not None and gain.sign > 0)


def _shares(arm: str, scores: Sequence[Scores]) -> str | None:
    found = list(decompositions(scores, arm, AGAINST).values())
    parts = {name: over_seeds([getattr(d, name) for d in found]) for name in PARTS}
    total, home = parts["total"], parts["at_home"]
    if total is None or home is None:
        return None
    means = {name: part.mean for name, part in parts.items() if part is not None}
    return (
        f"Under their own weights {total.mean:+.3g} nats {spoken(total)} lie between the two: that "
        f"is this difference, and {home.mean:+.3g} {spoken(home)} that its architectures gain from "
        f"weights trained for them. (As main effects: architectures {means['architectures']:+.3g}, "
        f"weights {means['weights']:+.3g}, interaction {means['interaction']:+.2g}.)"
    )


def _signs(arm: str, runs: Sequence[RunNumbers]) -> str:
    kl = values(runs, KL).get(arm, {})
    gain = over_seeds(list(values(runs, "derive/reward_minus_uniform").get(arm, {}).values()))
    far = f"{mean(kl.values()):.3g} nats" if kl else "not defined for this controller"
    signs = [f"KL to uniform {far}"]
    if gain is not None:
        signs.append(
            f"its reward minus that of uniform architectures under the same weights "
            f"{gain.mean:+.3g} {spoken(gain)}"
        )
    return f"Signs of learning: {', '.join(signs)}."


def _fewer(arm: str, runs: Sequence[RunNumbers], scores: Sequence[Scores]) -> str | None:
    """Whether weights that serve fewer architectures suffice as an explanation."""
    number, losses = values(runs, "diversity/effective_policy"), own_means(scores)
    supports = [a for a in losses if a.startswith(AGAINST) and a in number]
    if len(supports) < 2 or arm not in losses or arm not in number:
        return None
    found = []
    for seed in sorted(losses[arm].keys() & number[arm].keys()):
        curve = [
            (math.log(number[a][seed]), losses[a][seed])
            for a in supports
            if seed in number[a] and seed in losses[a]
        ]
        if len(curve) == len(supports):
            x, y = zip(*sorted(curve), strict=True)
            found.append(losses[arm][seed] - float(np.interp(math.log(number[arm][seed]), x, y)))
    difference = over_seeds(found)
    if difference is None:
        return None
    effective = math.exp(mean(math.log(n) for n in number[arm].values()))
    says = {
        -1: "so that fewer architectures to serve do not suffice as an explanation",
        0: "so that fewer architectures to serve may suffice as an explanation",
        1: "so that it is not even as good as fewer architectures would make it",
    }[difference.sign]
    return (
        f"At the end its policy is as wide as {effective:.3g} equally likely architectures; "
        f"under its own weights it scores {difference.mean:+.3g} nats against random search among "
        f"as many {spoken(difference)}, {says}."
    )


def _diversity(arm: str, runs: Sequence[RunNumbers]) -> str | None:
    distances = values(runs, "diversity/hamming_distance")
    difference = paired(distances, arm)
    if difference is None:
        return None
    says = {-1: "less", 0: "neither less nor more", 1: "more"}[difference.sign]
    one, other = (mean(distances[name].values()) for name in (arm, AGAINST))
    return (
        f"It is {says} diverse: two of its architectures differ in {one:.3g} decisions, two of "
        f"{AGAINST}'s in {other:.3g}, a difference of {difference.mean:+.3g} {spoken(difference)}."
    )


def _finals(arm: str, runs: Sequence[RunNumbers]) -> str:
    found: Values = {}
    metric = compared(runs)
    for run in runs:
        tested = final_value(run.folder, metric.name)
        if tested is not None:
            found.setdefault(run.arm, {})[run.seed] = tested
    difference = paired(found, arm)
    if difference is None:
        return (
            "What remains of it after retraining from scratch has not been measured: "
            f"{called('retrain', 'run=…')} for runs of both arms."
        )
    return (
        f"Retrained from scratch, its best architectures score {difference.mean:+.3g} "
        f"{unit_of(metric)} against {AGAINST}'s on test data {spoken(difference, 'final')}."
    )


def final_value(run: Path, name: str) -> float | None:
    """Mean over seeds of a metric on test data of the best architecture retrained, if it was."""
    finals, _ = readable_finals(run)
    if not finals:
        return None
    tested = finals[-1][1].get("test", [])
    found = [metrics[name] for metrics in tested if metrics.get(name) is not None]
    return mean(found) if found else None


def _kind(runs: Sequence[RunNumbers]) -> str:
    """Of the first run whose best architecture can be read."""
    found = (read_json(run.folder / BEST) for run in runs)
    return next((str(best["kind"]) for best in found if best and "kind" in best), "unknown")


# ------------------------------------------------------------------- the table beside them


def comparison(study: Path, against: str = AGAINST) -> str:
    """The differences that the sentences are made of, for every arm, as a Markdown table.

    Nats per token, shared; mean ± half of the 95 % interval. `own` is the mean under an arm's own
    weights, `P(better)` the probability that a run of the arm is better than one of `against`, `p`
    that of Wilcoxon's test, both for `total`.

    Args:
        study: Its folder.
        against: The arm that the others are compared with.
    """
    scores = read_scores(study)
    columns = ["arm", "seeds", "own", *PARTS.values(), "P(better)", "p"]
    lines = [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    own = own_means(scores)
    for arm in own:
        cells = [arm, str(len(own[arm])), f"{mean(own[arm].values()):.4g}"]
        total = paired(own, arm, against) if arm != against else None
        if total is not None:
            found = decompositions(scores, arm, against).values()
            for name in PARTS:
                part = over_seeds([getattr(d, name) for d in found])
                cells.append("–" if part is None else _half(part))
            cells.append(f"{1 - total.exceeds:.2f}")
            cells.append("–" if total.wilcoxon is None else f"{total.wilcoxon:.2g}")
        cells += ["–"] * (len(columns) - len(cells))
        lines.append(f"| {' | '.join(cells)} |")
    changed = calibration(scores)
    if changed:
        listed = (f"{c} under {w} {value:+.3g}" for (c, w), value in changed.items())
        lines += ["", f"Calibrated per architecture, which changes: {', '.join(listed)}."]
    return "\n".join(lines)


def _half(difference: PairedDifference) -> str:
    return f"{difference.mean:+.3f} ± {(difference.high - difference.low) / 2:.2g}"
