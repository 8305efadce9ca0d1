"""How the searches went: what was recorded, over the controller's steps and over epochs."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nas_lightning.report.charts import Band, band, curves
from nas_lightning.report.contents import Figure, Section
from nas_lightning.report.svg import inline
from nas_lightning.runs.records import Series
from nas_lightning.studies.study import Study

Colours = Mapping[str, str]

LEARNING = {
    "controller/reward": "reward of the rollouts",
    "controller/entropy": "entropy of the policy, nats",
}
"""Over controller steps: metric -> what it is, in a line above its figure."""

BY_EPOCH = {
    "derive/reward_minus_uniform": "reward minus that of uniform architectures",
    "child/loss": "training loss of the shared weights, nats per token",
}
"""Over epochs."""

DIVERSITY = {
    "derive/kl_to_uniform": "KL(policy ‖ uniform), nats",
    "diversity/unique_fraction": "unique share of the proposed architectures",
    "diversity/hamming_distance": "decisions in which two proposed ones differ",
    "diversity/effective_policy": "effective number of architectures, of the policy",
    "diversity/effective_sample": "effective number of architectures, of a sample",
    "diversity/revisit_rate": "share of the proposed that was judged before",
    "diversity/recreated": "share of the proposed that is among the best so far",
    "diversity/nearest": "decisions to the nearest of the best so far",
}
"""Over epochs; docs/metrics.md explains each."""

LOGARITHMIC = {"diversity/effective_policy"}

JUDGED = {"controller/reward", "derive/reward_minus_uniform", "child/loss"}
"""What hangs on how architectures are judged, so that its kind is said."""


def course(study: Study, colours: Colours) -> Section | None:
    """Reward and entropy over the controller's steps, and what epochs came to."""
    by_step = figures_of(study, colours, LEARNING, "controller step", lambda series: series.steps)
    by_epoch = figures_of(study, colours, BY_EPOCH, "epoch", epochs_of)
    if not by_step + by_epoch:
        return None
    text = [] if study.single else [_bands(study)]
    if len({run.arm for run in study.runs if "controller/reward" in run.metrics}) < len(study.arms):
        text.append("An arm that takes no controller steps is in the figures over epochs only.")
    return Section(
        "course", "Reward and entropy", text, by_step + by_epoch, by_arm=not study.single
    )


def diversity(study: Study, colours: Colours) -> Section | None:
    """How diverse what the controllers propose is, and how that changes."""
    figures = figures_of(study, colours, DIVERSITY, "epoch", epochs_of)
    text = [] if study.single else [_bands(study)]
    return (
        Section("diversity", "Diversity over time", text, figures, by_arm=not study.single)
        if figures
        else None
    )


def figures_of(
    study: Study,
    colours: Colours,
    metrics: Mapping[str, str],
    x: str,
    places: Callable[[Series], list[int]],
) -> list[Figure]:
    """A figure for each of the metrics that any run has recorded with a finite value."""
    figures = []
    for name, label in metrics.items():
        bands = bands_of(study, name, places)
        if bands:
            ends = "; ".join(f"{arm} ends at {b.mean[-1]:.3g}" for arm, b in bands.items())
            image = inline(
                curves(bands, colours, x=x, title=label, logarithmic=name in LOGARITHMIC),
                name=f"curve-{name.replace('/', '-')}",
                alt=f"{label} over {x}: {ends}",
            )
            kind = f" ({study.kind})" if name in JUDGED else ""
            figures.append(Figure(image, f"{name}{kind}"))
    return figures


def bands_of(study: Study, name: str, places: Callable[[Series], list[int]]) -> dict[str, Band]:
    """Arm -> the band of a metric over its seeds; arms that have not recorded it are left out."""
    bands = {}
    for arm in study.arms:
        series = [run.metrics[name] for run in study.of(arm) if name in run.metrics]
        if series:
            found = band([(places(s), s.values) for s in series])
            if len(found.x):
                bands[arm] = found
    return bands


def epochs_of(series: Series) -> list[int]:
    """The epochs in which a metric was recorded."""
    return series.epochs


def _bands(study: Study) -> str:
    counts = sorted({len(study.of(arm)) for arm in study.arms})
    seeds = " to ".join(str(n) for n in dict.fromkeys((counts[0], counts[-1])))
    return f"Lines are means over {seeds} seeds; bands reach from the smallest to the largest seed."
