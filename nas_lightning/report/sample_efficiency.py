"""The diagram of how soon ways of learning get to the answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from statistics import mean

from nas_lightning.report import charts
from nas_lightning.studies.sample_efficiency import POINTS, PUBLISHED, SHARE, Answer, Curves


def draw(curves: Curves, found: Mapping[str, Answer], path: Path) -> None:
    """Draw each way: the mean over seeds, a band from the least to the greatest.

    A seed's curve is that at the rate which the other seeds have chosen for it; the dotted line is
    `SHARE` of what the published way gains on average.
    """
    seeds = sorted({curve.seed for curve in curves})
    bands = {}
    for way, answer in found.items():
        rates = dict(zip(seeds, answer.rates, strict=True))
        label = " and ".join(f"{rate:g}" for rate in sorted(set(answer.rates)))
        bands[f"{way}, lr {label}"] = charts.band(
            [
                (POINTS, gains)
                for curve, gains in curves.items()
                if curve.way == way and curve.rate == rates[curve.seed]
            ]
        )
    figure = charts.curves(
        bands,
        dict(zip(bands, charts.COLOURS, strict=False)),
        x="evaluations",
        title="reward minus uniform's",
    )
    axes = figure.axes[0]
    axes.axhline(SHARE * mean(found[PUBLISHED].gains), color="grey", lw=0.8, ls=":")
    axes.legend(axes.get_lines()[: len(bands)], list(bands), frameon=False, fontsize=7)
    figure.savefig(path)
