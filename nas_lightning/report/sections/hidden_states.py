"""What the controllers remember: their final states as pictures, and similarity in numbers."""

from __future__ import annotations

from nas_lightning.report.contents import Cell, Figure, Section, Table, spread
from nas_lightning.report.svg import picture
from nas_lightning.runs.config import at
from nas_lightning.runs.run import Run
from nas_lightning.studies.study import Study

MEASURES = (
    "common_activations",
    "common_connections",
    "edit_distance",
    "performance_difference",
)
BESIDE = ("hidden/own_std", "hidden/own_saturated")
"""Without which a rank correlation of states says little: it ignores their scale."""

PUBLISHED: dict[str, tuple[float, float, float, float]] = {
    "random (untrained)": (-0.090, -0.130, -0.064, 0.004),
    "policy gradient only": (-0.315, -0.072, -0.028, -0.001),
    "with memory": (-0.404, -0.160, 0.100, 0.163),
}
"""Adam & Lorraine 2019, "Understanding Neural Architecture Search Techniques", the table of
Spearman correlations: recurrent cells of 12 nodes, Penn Treebank, 100 architectures, one run."""

LARGEST = 500_000
"""Bytes of pictures in a page, a third more as text: with its figures it stays below 2 MB."""

SAMPLES = {
    "uniform": "uniform architectures, which it is fed",
    "own": "architectures of its own",
}


def heat_maps(study: Study) -> Section | None:
    """The final states of each arm's first seed, as they were last looked at."""
    figures, size = [], 0
    for arm in study.arms:
        for sample, meaning in SAMPLES.items():
            for run in study.of(arm):
                looks = sorted(run.folder.glob(f"analysis/epoch_*/states_{sample}.png"))
                if looks:
                    break
            else:
                continue
            size += looks[-1].stat().st_size
            if size > LARGEST:
                break
            epoch = int(looks[-1].parent.name.removeprefix("epoch_"))
            who = f"seed {run.seed}" if study.single else f"{arm}, seed {run.seed}"
            caption = f"{who}, epoch {epoch}: {meaning}"
            alt = f"Heat map of the controller's final hidden states, a row each: {caption}"
            figures.append(Figure(picture(looks[-1], alt=alt), caption))
    text = [
        "The controller's final hidden state, a row an architecture. Equal rows: it does not "
        "remember which architecture it was fed."
    ]
    if size > LARGEST:
        text.append("There are more in the runs' folders, in analysis/.")
    return Section("states", "The controller's memory", text, figures) if figures else None


def similarity(study: Study) -> Section | None:
    """Do architectures that are alike have states that are near each other?"""
    rows: list[list[Cell]] = []
    for arm in study.arms:
        runs = study.of(arm)
        names = [f"similarity/own_before_last_{measure}" for measure in MEASURES]
        if any(run.last(name) is not None for run in runs for name in names):
            who = arm if study.single else f"{arm} ({len(runs)} seeds)"
            rows.append([who, *(_spread(runs, name) for name in (*names, *BESIDE))])
    if not rows:
        return None
    published: list[list[Cell]] = [
        [f"published: {who}", *(f"{value:+.3f}" for value in values), None, None]
        for who, values in (PUBLISHED.items() if _of_cells(study) else ())
    ]
    source = (
        ", beside Adam & Lorraine 2019, “Understanding Neural Architecture Search Techniques” "
        "(recurrent cells of 12 nodes, Penn Treebank, one run)"
        if published
        else ""
    )
    head = [
        "whose",
        *(measure.replace("_", " ") for measure in MEASURES),
        "states' deviation",
        "saturated share",
    ]
    return Section(
        "similarity",
        "Do similar architectures have similar states?",
        [
            "Spearman correlation of the L2 distance between the controller's states before the "
            "last decision with the similarity of the architectures, on those it proposes. Right "
            "are negative numbers for what is in common, and positive ones for differences. Where "
            "the states hardly differ, or are saturated, a correlation hangs on rounding.",
            "Performances are those of the derivation: under shared weights on "
            "search.candidate_minibatches minibatches, not on the whole validation split.",
        ],
        tables=[
            Table(
                f"Mean ± standard deviation over seeds{source}",
                head,
                [*rows, *published],
            )
        ],
    )


def _of_cells(study: Study) -> bool:
    """Whether recurrent cells were searched, of which there are published numbers."""
    space = at(study.runs[0].config, "search_space._target_")
    return str(space).rpartition(".")[2] == "RecurrentCellSpace"


def _spread(runs: list[Run], name: str) -> str:
    """Mean and standard deviation over those seeds where the number is there and finite."""
    values = [value for run in runs if (value := run.last(name)) is not None]
    of = "" if len(values) in (0, len(runs)) else f" ({len(values)} of {len(runs)})"
    return spread(values, "+.3f" if name.startswith("similarity") else ".3g") + of
