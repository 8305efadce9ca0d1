"""The page of a run or a study: one file that needs nothing else, to be looked at and kept.

Every section is made by a function that gives None where its data is missing.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from nas_lightning.errors import UserError
from nas_lightning.files import write
from nas_lightning.report.charts import COLOURS
from nas_lightning.report.contents import Section, shown
from nas_lightning.report.sections.architectures import best_architectures, best_rows
from nas_lightning.report.sections.arms import arms, budget, plan
from nas_lightning.report.sections.decomposition import decomposition
from nas_lightning.report.sections.distribution import distribution
from nas_lightning.report.sections.hidden_states import heat_maps, similarity
from nas_lightning.report.sections.learning_curves import course, diversity
from nas_lightning.report.sections.learning_signs import signs_of
from nas_lightning.report.sections.population import population
from nas_lightning.report.sections.predictions import predictions
from nas_lightning.report.sections.provenance import facts, final_numbers, runs
from nas_lightning.report.sections.relaxation import relaxation
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.studies.cross_evaluation import RECORD
from nas_lightning.studies.differences import AGAINST
from nas_lightning.studies.study import Study
from nas_lightning.studies.table import undefined
from nas_lightning.studies.verdict import verdict_of

NAME = "report"

NO_VERDICT = (
    "No verdict yet: it takes finished runs of several seeds, of random search and of others."
)


@dataclass(frozen=True)
class Page:
    """What is on a page.

    Attributes:
        title: Of what it is.
        verdict: Groups of sentences, the answer first in each.
        facts: What was searched and how: name -> line.
        notes: What a reader has to know of runs that are not whole.
        colours: Arm -> colour.
        sections: From top to bottom.
    """

    title: str
    verdict: list[list[str]]
    facts: dict[str, str]
    notes: list[str]
    colours: dict[str, str]
    sections: list[Section]


def page_of(study: Study, space: SearchSpace | None) -> Page:
    """Put a page together.

    Args:
        study: The runs.
        space: Their search space; None leaves the drawings out.
    """
    colours = {arm: COLOURS[n % len(COLOURS)] for n, arm in enumerate(study.arms)}
    verdict = verdict_of(study)
    sections = [
        plan(study, verdict),
        *arms(verdict, colours),
        budget(study, colours),
        course(study, colours),
        relaxation(study, colours, space),
        distribution(study, colours, study.scores),
        predictions(study),
        decomposition(study.scores, colours),
        heat_maps(study),
        similarity(study),
        diversity(study, colours),
        population(study, space, colours),
        final_numbers(study),
        best_architectures(study, space),
        best_rows(study),
        runs(study),
    ]
    said = [verdict.summary] if verdict.summary else list(verdict.arms.values())
    name = study.folder.resolve().name
    return Page(
        title=f"{'Run' if study.single else 'Study'} {name}",
        verdict=[signs_of(study.runs[0])] if study.single else said or [[NO_VERDICT]],
        facts=facts(study, space),
        notes=[
            *study.notes,
            *undefined({run.arm: run.undefined for run in study.runs}),
            *_left_out(study),
        ],
        colours=colours,
        sections=[section for section in sections if section is not None],
    )


def write_page(page: Page, folder: Path, *, markdown: bool) -> list[Path]:
    """Write the page as HTML, and as Markdown too if that is asked for.

    Returns:
        The files written.

    Raises:
        UserError: If the folder cannot be written to.
    """
    environment = Environment(
        loader=PackageLoader("nas_lightning.report"),
        autoescape=lambda name: name is not None and ".html" in name,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": shown, "md": _plain}
    written = []
    for suffix in ["html", *(["md"] if markdown else [])]:
        template = environment.get_template(f"{NAME}.{suffix}.jinja")
        path = folder / f"{NAME}.{suffix}"
        try:
            write(path, template.render(page=page))
        except OSError as error:
            raise UserError(
                f"{path}: cannot be written ({error.strerror}); make room for it, or make the page "
                "of a copy of the folder"
            ) from None
        written.append(path)
    return written


def _plain(text: str) -> str:
    """Text that Markdown takes as it is."""
    return re.sub(r"([\\`*_|<>\[\]])", r"\\\1", text)


def _left_out(study: Study) -> list[str]:
    """What of a cross-evaluation cannot be shown, a line each."""
    scores, damaged = study.crossed
    lines = []
    if damaged:
        lines.append(f"{RECORD}: damaged lines are left out: {damaged}")
    unknown = sorted({s.architectures_of for s in scores} - {*study.arms, AGAINST})
    if unknown:
        lines.append(f"{RECORD}: arms without runs are left out: {', '.join(unknown)}")
    return lines
