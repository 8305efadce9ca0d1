"""How good the architectures are that each arm's controller proposes, under its own weights."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from nas_lightning.files import read_json
from nas_lightning.metrics import Metric
from nas_lightning.report.charts import Sample, histograms
from nas_lightning.report.contents import Cell, Figure, Section, Table
from nas_lightning.report.svg import inline
from nas_lightning.runs.folder import DATA
from nas_lightning.runs.records import finite
from nas_lightning.search_spaces.child import LOSS, PERPLEXITY
from nas_lightning.studies.cross_evaluation import Scores, own_samples
from nas_lightning.studies.study import Study

CROSS_EVALUATED = (
    "Architectures that each arm's controller proposes, under the shared weights of their own run, "
    "on the same validation minibatches for all arms; duplicates counted as often as they were "
    "drawn."
)
CANDIDATES = "The distinct architectures among the candidates of the last derivation."
OF_EACH = (
    "Each run has judged its own, under its own weights and on minibatches of its own, so that "
    "what differs is not the architectures alone."
)


def distribution(
    study: Study, colours: Mapping[str, str], scores: Sequence[Scores]
) -> Section | None:
    """The seed's figure: values of sampled architectures, by whose controller sampled them."""
    own = own_samples(scores)
    samples = {arm: (own[arm][0].numpy(), own[arm][1].numpy()) for arm in study.arms if arm in own}
    metric, kind, text = LOSS, "shared", [CROSS_EVALUATED]
    if not samples:
        metric, kind = _metric(study)
        text = [CANDIDATES, OF_EACH] if kind == "shared" and not study.single else [CANDIDATES]
        samples = _candidates(study, metric.name)
    if not samples:
        return None
    label = metric.label(kind)
    medians = "; ".join(f"{arm} {_median(sample):.4g}" for arm, sample in samples.items())
    image = inline(
        histograms(samples, colours, x=label),
        name="distribution",
        alt=f"Distribution of the {label}, medians: {medians}",
    )
    caption = f"{label}, a row an arm; the line is the median; the axis holds 98 % of all"
    return Section(
        "distribution",
        "What is proposed",
        text,
        [Figure(image, caption, wide=True)],
        [_table(samples, metric, kind, _guess(study, metric))],
    )


def _metric(study: Study) -> tuple[Metric, str]:
    """The metric that is shown, and its kind: losses where perplexity is the objective."""
    for run in study.runs:
        for row in run.judged.candidates:
            as_loss = run.objective.name == PERPLEXITY.name and LOSS.name in row["metrics"]
            return LOSS if as_loss else run.objective, str(row.get("kind", "kind unknown"))
    return LOSS, "shared"


def _candidates(study: Study, metric: str) -> dict[str, Sample]:
    samples = {}
    for arm in study.arms:
        found = [
            finite(row["metrics"].get(metric))
            for run in study.of(arm)
            for row in run.judged.candidates
        ]
        values = np.array([value for value in found if value is not None], np.float64)
        if len(values):
            samples[arm] = values, np.ones(len(values), np.int64)
    return samples


def _table(samples: Mapping[str, Sample], metric: Metric, kind: str, guess: float) -> Table:
    """Mean, median and ends of each arm's values, as perplexities where they are losses.

    A network that is worse than a guess has exploded. Its perplexity may have twenty digits, and a
    mean would be of it alone: it is counted, and is in no mean.
    """
    rows: list[list[Cell]] = []
    for arm, (values, counts) in samples.items():
        drawn = np.repeat(values, counts)
        if metric.name == LOSS.name:
            with np.errstate(over="ignore"):
                drawn = np.exp(drawn)
        whole = drawn[drawn <= guess]
        middle = whole.mean() if len(whole) else math.nan
        ends = middle, np.median(drawn), drawn.min(), drawn.max()
        exploded = len(drawn) - len(whole) if math.isfinite(guess) else None
        numbers = (finite(float(v)) for v in ends)
        rows.append([arm, len(drawn), len(values), exploded, *numbers])
    shown = PERPLEXITY if metric.name == LOSS.name else metric
    head = ["arm", "architectures", "scored", "exploded", "mean", "median", "smallest", "largest"]
    left_out = f"; exploded is above {guess:,.0f}, that of a guess, and in no mean"
    caption = f"{shown.label(kind)} of the same architectures"
    return Table(caption + left_out * math.isfinite(guess), head, rows)


def _guess(study: Study, metric: Metric) -> float:
    """The perplexity of a guess: the number of words or classes; infinite if not known."""
    described = read_json(study.runs[0].folder / DATA) or {}
    known = finite(described.get("vocabulary")) or finite(described.get("classes"))
    return known if known and metric.name == LOSS.name else math.inf


def _median(sample: Sample) -> float:
    return float(np.median(np.repeat(*sample)))
