"""Has a controller learned anything? How far its policy has moved, and what its proposals gain.

That a policy is not uniform says little: rewards that are permuted among the architectures of a
step tell nothing, and yet they move it. So the threshold is what such runs read.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import mean

from scipy import stats

from nas_lightning.runs.run import Run
from nas_lightning.studies.differences import contenders, over_seeds, spoken, values

KL = "derive/kl_to_uniform"
GAIN = "derive/reward_minus_uniform"
PERMUTED_ARM = "permuted"

PERMUTED = (
    0.254, 0.0228, 0.117, 0.0263, 1.235, 0.0790, 0.321, 0.0110, 0.103, 0.0324,
    0.0585, 0.0750, 0.0682, 0.0142, 0.0187, 3.876, 0.0222, 0.0397, 0.0368,
)  # fmt: skip
"""KL to uniform, nats, at the end of 19 runs of the default search with permuted rewards
(`python train.py arm=permuted seed=100` to `118`). That one run's exceeds the largest of 19 is a
test at 5 %. It stands on that search alone, and on one run of 3.9 where the next has 1.2: a longer
search, or another learning rate, moves a policy otherwise, and a study of such runs should bring
permuted ones of its own (`arm=permuted`)."""

ALPHA = 0.05


def references(runs: Sequence[Run], arms: int) -> tuple[list[float], str]:
    """What runs that were told nothing read, and which runs these are.

    Those of the study itself, where there are enough of them that `arms` runs could be told from
    them; otherwise those of the default search.
    """
    own = list(values(runs, KL).get(PERMUTED_ARM, {}).values())
    if own and math.comb(len(own) + arms, arms) * ALPHA >= 1:
        return own, f"{len(own)} of this study"
    return list(PERMUTED), f"{len(PERMUTED)} of the default search"


def moved(kl: Sequence[float], permuted: Sequence[float]) -> float:
    """The p-value that a policy has moved no further than one whose rewards were permuted.

    Mann-Whitney's exact test, one-sided: of one run beside 19 it is 1/20 where its KL exceeds all.
    """
    if not kl or not permuted:
        return 1.0
    test = stats.mannwhitneyu(kl, permuted, alternative="greater", method="exact")
    return float(test.pvalue)


def has_moved(kl: Sequence[float], permuted: Sequence[float]) -> bool:
    """Whether it has moved further, at 5 %."""
    return moved(kl, permuted) <= ALPHA * (1 + 1e-9)


def learned(arm: str, runs: Sequence[Run]) -> bool:
    """Whether the policy has moved, or what is proposed is better than uniform for certain."""
    gain = over_seeds(list(values(runs, GAIN).get(arm, {}).values()))
    kl = list(values(runs, KL).get(arm, {}).values())
    far = has_moved(kl, references(runs, len(kl))[0]) if kl else False
    return far or (gain is not None and gain.sign > 0)


def signs(arm: str, runs: Sequence[Run]) -> str:
    """The signs of learning, in a sentence."""
    kl = list(values(runs, KL).get(arm, {}).values())
    gain = over_seeds(list(values(runs, GAIN).get(arm, {}).values()))
    found = ["KL to uniform not defined for this controller"]
    if kl:
        permuted, which = references(runs, len(kl))
        found = [
            f"KL to uniform {mean(kl):.3g} nats, beside at most {max(permuted):.2g} of runs with "
            f"permuted rewards ({which}; one-sided p {moved(kl, permuted):.2g})"
        ]
    if gain is not None:
        found.append(
            "its reward minus that of uniform architectures judged beside them "
            f"{gain.mean:+.3g} {spoken(gain)}"
        )
    return f"Signs of learning: {', '.join(found)}."


def who_learned(runs: Sequence[Run]) -> dict[str, bool]:
    """Of every arm that may be better than random, whether it has learned."""
    return {arm: learned(arm, runs) for arm in contenders(runs)}
