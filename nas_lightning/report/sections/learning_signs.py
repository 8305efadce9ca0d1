"""What one run can say of the question whether its controller has learned anything."""

from __future__ import annotations

from nas_lightning.runs.run import Run
from nas_lightning.studies.learned import PERMUTED, has_moved

CERTAIN = 2
"""Standard errors that a difference must exceed."""


def signs_of(run: Run) -> list[str]:
    """Whether the controller has learned, in sentences, the first one the headline."""
    names = ("derive/kl_to_uniform", "derive/reward_minus_uniform")
    kl, gain = (run.last(name) for name in names)
    noise = run.last("derive/reward_minus_uniform_se")
    if gain is None or noise is None:
        return ["Nothing can be said yet: no derivation has been recorded."]
    kind = run.best["kind"] if run.best and "kind" in run.best else "kind unknown"
    better = gain > CERTAIN * noise
    moved = better if kl is None else has_moved([kl], PERMUTED)
    if not {"controller/reward", "relaxed/validation_loss"} & run.metrics.keys():
        headline = "This controller does not learn."
    elif better and moved:
        headline = "The controller has learned something: it proposes better than uniformly."
    elif moved:
        headline = (
            "The controller has moved, but what it proposes is not shown to be better than uniform "
            "samples."
        )
    else:
        headline = "The controller is not shown to have learned."
    return [
        headline,
        f"{_policy(kl)} the mean reward of what it proposes minus that of uniform architectures, "
        f"judged alike, is {gain:+.3g} ± {noise:.2g} (standard error; {kind}).",
        "One run cannot say more: whether a controller is better than random search takes several "
        "seeds of both.",
    ]


def _policy(kl: float | None) -> str:
    """How far the policy is from uniform, if there is one."""
    if kl is None:
        return "It has no policy, so that KL to uniform is not defined for this controller;"
    return (
        f"Its policy is {kl:.3g} nats (KL) from uniform, that of {len(PERMUTED)} runs of the "
        f"default search with permuted rewards at most {max(PERMUTED):.2g}, and"
    )
