"""What a study can ask of its arms: by which numbers they are compared, a number a seed.

Under shared weights: how good an arm's architectures are under the weights of random search, which
have served all alike. From scratch, or where values are known: the best child that was found for
equal cost, and the mean of what is proposed in the end. Arms whose weights were trained through
mixtures of options (a search by gradient) are in none of these: such weights favour what their own
controller derives. Where a table stands beside the search, it is asked of all arms; and so are
final numbers (`finals.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import mean, median
from typing import Literal

from nas_lightning.metrics import Metric
from nas_lightning.runs.records import finite
from nas_lightning.runs.run import Run
from nas_lightning.search_spaces.child import LOSS, PERPLEXITY
from nas_lightning.studies.budget import equal_cost
from nas_lightning.studies.differences import AGAINST, TwoSamples, Values
from nas_lightning.studies.seeds import SeedRun
from nas_lightning.studies.study import Study

Name = Literal[
    "loss under common weights", "best child", "mean proposal", "best by table", "final number"
]

REGRET = "table/best_regret"
"""How the names begin by which a search's best architecture is looked up beside it."""

MOST_LOST = 0.1
"""Share of an arm's architectures that may have diverged, and of its seeds that may have no number;
above it there is no verdict: what is left is no fair sample."""


@dataclass
class Question:
    """By what arms are compared.

    Attributes:
        name: In two words.
        metric: What the numbers are.
        kind: What they were measured on.
        said: What an arm scores by it, for a sentence: `what it proposes in the end scores`.
        values: Arm -> seed -> number. Of a sample it is the mean of those that did not diverge.
        medians: Likewise the median of the sample; none where a number is no mean.
        lost: Arm -> share of its architectures that diverged.
        dropped: Arm -> seeds that have finished, but have no number.
    """

    name: Name
    metric: Metric
    kind: str
    said: str
    values: Values = field(default_factory=dict)
    medians: Values = field(default_factory=dict)
    lost: dict[str, float] = field(default_factory=dict)
    dropped: dict[str, list[int]] = field(default_factory=dict)

    @property
    def unit(self) -> str:
        """What stands behind a difference."""
        return self.metric.unit or self.metric.title

    def why_not(self, arm: str, against: str) -> str:
        """Why too little is left of one of two arms for a verdict; empty where enough is."""
        for name in (arm, against):
            lost, dropped = self.lost.get(name, 0), len(self.dropped.get(name, []))
            seeds = dropped + len(self.values.get(name, {}))
            if lost > MOST_LOST:
                return f"{lost:.0%} of {name}'s architectures diverged"
            if dropped > MOST_LOST * seeds:
                return f"{dropped} of {name}'s {seeds} seeds have no finite number"
        return ""

    def losses_said(self, arm: str, against: str) -> list[str]:
        """What was left out of a comparison, a sentence each."""
        lines = []
        for name in (arm, against):
            if self.lost.get(name):
                lines.append(
                    f"{self.lost[name]:.1%} of {name}'s architectures diverged; they are counted "
                    "here and are in no mean or median."
                )
            if self.dropped.get(name):
                seeds = ", ".join(map(str, self.dropped[name]))
                lines.append(f"Left out, without a finite number of {name}: seed {seeds}.")
        return lines


def questions_of(study: Study) -> list[Question]:
    """The questions that a study's finished runs can be asked, the first one the headline's."""
    runs = [run for run in study.finished if not run.mixed]
    kind = kind_of(runs or study.finished)
    if kind == "shared":
        found = [judged_alike(study)]
    else:
        found = [best_child(runs, kind), mean_proposal(runs, kind)]
    return [q for q in (*best_by_table(study.finished), *found) if AGAINST in q.values]


def mixed_arms(runs: Iterable[Run]) -> list[str]:
    """The arms whose shared weights were trained through mixtures of options."""
    return sorted({run.arm for run in runs if run.mixed})


def kind_of(runs: Iterable[Run]) -> str:
    """What the numbers were measured on: of the first run whose best architecture can be read."""
    found = (str(run.best["kind"]) for run in runs if run.best and "kind" in run.best)
    return next(found, "unknown")


def compared(runs: Sequence[Run]) -> Metric:
    """By what proposals are compared: their objective, but losses where that is the perplexity.

    One exploding architecture ruins a mean of perplexities.
    """
    found = {run.objective for run in runs}
    objective = found.pop() if len(found) == 1 else LOSS
    return LOSS if objective.name in (LOSS.name, PERPLEXITY.name) else objective


def judged_alike(study: Study) -> Question:
    """Every arm's architectures under the weights of random search."""
    question = Question(
        "loss under common weights",
        LOSS,
        "shared",
        f"judged under the weights of {AGAINST}, which have served all architectures alike, its "
        "architectures score",
    )
    samples: dict[str, list[tuple[int, int]]] = {}
    mixed = mixed_arms(study.finished)
    for scores in study.scores:
        if scores.weights_of != AGAINST or scores.architectures_of in mixed:
            continue
        arm, seed = scores.architectures_of, scores.seed
        samples.setdefault(arm, []).append((scores.diverged, scores.drawn))
        if scores.diverged == scores.drawn:
            question.dropped.setdefault(arm, []).append(seed)
            continue
        question.values.setdefault(arm, {})[seed] = scores.mean()
        question.medians.setdefault(arm, {})[seed] = scores.median()
    question.lost = {a: sum(d for d, _ in s) / sum(n for _, n in s) for a, s in samples.items()}
    return question


def mean_proposal(runs: Sequence[Run], kind: str) -> Question:
    """What each arm's controller proposes in the end."""
    metric = compared(runs)
    question = Question("mean proposal", metric, kind, "what it proposes in the end scores")
    lost: dict[str, list[float]] = {}
    for run in runs:
        known = [finite(run.at_end.get(f"derive/{metric.name}_{of}")) for of in ("mean", "median")]
        judged = [finite(row["metrics"].get(metric.name)) for row in run.judged.candidates]
        rest = [value for value in judged if value is not None]
        if known[0] is None and rest:  # a single one that diverged makes the recorded ones NaN
            known = [mean(rest), median(rest)]
        if judged:
            lost.setdefault(run.arm, []).append(1 - len(rest) / len(judged))
        if known[0] is None:
            question.dropped.setdefault(run.arm, []).append(run.seed)
            continue
        question.values.setdefault(run.arm, {})[run.seed] = known[0]
        if known[1] is not None:
            question.medians.setdefault(run.arm, {})[run.seed] = known[1]
    question.lost = {arm: mean(shares) for arm, shares in lost.items()}
    return question


def best_child(runs: Sequence[Run], kind: str) -> Question:
    """The best architecture that each arm had found when all had spent the same."""
    objectives = {run.objective for run in runs}
    metric = objectives.pop() if len(objectives) == 1 else LOSS
    question = Question("best child", metric, kind, "the best child found for equal cost scores")
    if all(isinstance(run, SeedRun) for run in runs):
        question.values = TwoSamples()
    for run, value in equal_cost(runs, metric).items():
        if math.isfinite(value):
            question.values.setdefault(run[0], {})[run[1]] = value
        else:
            question.dropped.setdefault(run[0], []).append(run[1])
    return question


def best_by_table(runs: Sequence[Run]) -> list[Question]:
    """What each arm hands over, by a table that no search was told of; `callbacks.LookAtTable`.

    Regrets: whatever the table holds, less of them is better. Nothing where there was no table, or
    not the same one for all.
    """
    names = {name for run in runs for name in run.at_end if name.startswith(REGRET)}
    if len(names) != 1:
        return []
    (name,) = names
    question = Question(
        "best by table",
        Metric(name=name.removeprefix("table/best_"), unit="", direction="less"),
        "proxy",
        "the best architecture that it hands over misses the best of the table by",
    )
    for run in runs:
        value = finite(run.at_end.get(name))
        if value is None:
            question.dropped.setdefault(run.arm, []).append(run.seed)
        else:
            question.values.setdefault(run.arm, {})[run.seed] = value
    return [question]
