"""The page of two runs or two studies beside each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import mean

from nas_lightning.report.charts import COLOURS
from nas_lightning.report.contents import Cell, Section, Table
from nas_lightning.report.page import NAME, Page, said, without_gaps
from nas_lightning.report.sections.architectures import best_architectures, best_rows
from nas_lightning.report.sections.arms import budget
from nas_lightning.report.sections.distribution import distribution
from nas_lightning.report.sections.hidden_states import heat_maps, similarity
from nas_lightning.report.sections.learning_curves import course, diversity
from nas_lightning.report.sections.population import population
from nas_lightning.report.sections.predictions import predictions
from nas_lightning.report.sections.provenance import facts, runs
from nas_lightning.report.sections.relaxation import relaxation
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.studies.arms import refuse_mixed
from nas_lightning.studies.study import Study
from nas_lightning.studies.verdict import verdict_of

UNTESTED = (
    "Beside each other, each with its own answer. Nothing is tested between the two: for that, put "
    "the runs of both into one study."
)
NUMBERS = {
    "KL to uniform, nats": "derive/kl_to_uniform",
    "reward minus uniform's": "derive/reward_minus_uniform",
}


def page_of_two(first: Study, second: Study, space: SearchSpace | None) -> Page:
    """Put two pages together: the arms of both count as arms of one study.

    Args:
        first: The one.
        second: The other.
        space: The search space of both; None leaves the drawings out.

    Raises:
        UserError: If they are of different search spaces or data.
    """
    refuse_mixed({study.runs[0].folder: study.runs[0].config for study in (first, second)})
    names = names_of(first, second)
    both = joined(first, second)
    colours = {arm: COLOURS[n % len(COLOURS)] for n, arm in enumerate(both.arms)}
    verdict = []
    for name, study in zip(names, (first, second), strict=True):
        verdict += [[f"{name}: {head}", *rest] for head, *rest in said(study, verdict_of(study))]
    chapters: dict[str, Sequence[Section | None]] = {
        "Answer": [beside(both)],
        "Architectures": [best_architectures(both, space), best_rows(both)],
        "Learning": [
            budget(both, colours),
            course(both, colours),
            relaxation(both, colours, space),
            diversity(both, colours),
            population(both, space, colours),
            predictions(both),
        ],
        "What the controller knows": [
            distribution(both, colours, []),
            heat_maps(both),
            similarity(both),
        ],
        "Provenance": [runs(both)],
    }
    return Page(
        title=" and ".join(names),
        verdict=verdict,
        facts=facts(both, space),
        notes=[
            f"{name}: {note}"
            for name, study in zip(names, (first, second), strict=True)
            for note in study.notes
        ],
        colours=colours,
        chapters=without_gaps(chapters),
        file=f"{NAME}_with_{second.folder.resolve().name}",
    )


def names_of(first: Study, second: Study) -> tuple[str, str]:
    """What tells the two apart: their folders' names, or those of the folders around them too."""
    one, other = first.folder.resolve(), second.folder.resolve()
    if one.name != other.name:
        return one.name, other.name
    return f"{one.parent.name}/{one.name}", f"{other.parent.name}/{other.name}"


def joined(first: Study, second: Study) -> Study:
    """The runs of both as those of one study, every arm named after where it is from."""
    runs = [
        replace(run, arm=name if study.single else f"{name}: {run.arm}")
        for name, study in zip(names_of(first, second), (first, second), strict=True)
        for run in study.runs
    ]
    return Study(first.folder, single=False, runs=runs, failed=(), absent={}, unreadable={})


def beside(both: Study) -> Section:
    """Every arm's best and what it has learned, in means over its seeds."""
    objective = both.runs[0].objective
    head = ["arm", "seeds", f"best {objective.label()}", "mean of the best", *NUMBERS, "kind"]
    rows: list[list[Cell]] = []
    for arm in both.arms:
        of_arm = both.of(arm)
        best = [run.best_value for run in of_arm if run.best_value is not None]
        ordered = sorted(best, key=lambda value: -objective.sign * value)
        numbers: list[Cell] = []
        for name in NUMBERS.values():
            values = [value for run in of_arm if (value := run.last(name)) is not None]
            numbers.append(mean(values) if values else None)
        kinds = sorted({str((run.best or {}).get("kind", "–")) for run in of_arm})
        rows.append(
            [
                arm,
                len(of_arm),
                ordered[0] if ordered else None,
                mean(best) if best else None,
                *numbers,
                ", ".join(kinds),
            ]
        )
    table = Table("The arms of both, means over their seeds", head, rows)
    return Section("beside", "Side by side", [UNTESTED], tables=[table])
