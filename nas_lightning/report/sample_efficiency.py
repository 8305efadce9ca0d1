"""The diagram of how soon ways of learning get to the answer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nas_lightning.report import charts
from nas_lightning.studies.sample_efficiency import POINTS, PUBLISHED, SHARE, Answer, Curves


def draw(curves: Curves, found: Mapping[str, Answer], path: Path) -> None:
    """Draw each way at its rate: the mean over seeds, a band from the least to the greatest."""
    bands = {
        f"{way}, lr {answer.rate:g}": charts.band(
            [
                (POINTS, gains)
                for curve, gains in curves.items()
                if (curve.way, curve.rate) == (way, answer.rate)
            ]
        )
        for way, answer in found.items()
    }
    figure = charts.curves(
        bands,
        dict(zip(bands, charts.COLOURS, strict=False)),
        x="evaluations",
        title="reward minus uniform's",
    )
    axes = figure.axes[0]
    axes.axhline(SHARE * found[PUBLISHED].gain, color="grey", lw=0.8, ls=":")
    axes.legend(axes.get_lines()[: len(bands)], list(bands), frameon=False, fontsize=7)
    figure.savefig(path)
