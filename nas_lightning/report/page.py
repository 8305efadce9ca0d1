"""The page of a run or a study: one file that needs nothing else, to be looked at and kept.

Every section is made by a function that gives None where its data is missing.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined

from nas_lightning.errors import UserError
from nas_lightning.files import write
from nas_lightning.report.charts import COLOURS
from nas_lightning.report.contents import Section, as_text, rows_of, shown
from nas_lightning.report.forest import Forest, forest_of
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
from nas_lightning.studies.verdict import Verdict, verdict_of

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
        chapters: Sections from top to bottom, by what they answer.
        answer: Of a study: every arm's difference from random search, once there are any.
        file: Its name, without a suffix.
    """

    title: str
    verdict: list[list[str]]
    facts: dict[str, str]
    notes: list[str]
    colours: dict[str, str]
    chapters: dict[str, list[Section]]
    answer: Forest | None = None
    file: str = NAME

    @property
    def sections(self) -> list[Section]:
        """All of them."""
        return [section for chapter in self.chapters.values() for section in chapter]


def page_of(study: Study, space: SearchSpace | None) -> Page:
    """Put a page together.

    Args:
        study: The runs.
        space: Their search space; None leaves the drawings out.
    """
    colours = {arm: COLOURS[n % len(COLOURS)] for n, arm in enumerate(study.arms)}
    verdict = verdict_of(study)
    chapters: dict[str, Sequence[Section | None]] = {
        "Answer": [plan(study, verdict), *arms(verdict, colours), final_numbers(study)],
        "Architectures": [best_architectures(study, space), best_rows(study)],
        "Learning": [
            budget(study, colours),
            course(study, colours),
            relaxation(study, colours, space),
            diversity(study, colours),
            population(study, space, colours),
            predictions(study),
        ],
        "What the controller knows": [
            distribution(study, colours, study.scores),
            decomposition(study.scores, colours),
            heat_maps(study),
            similarity(study),
        ],
        "Provenance": [runs(study)],
    }
    name = study.folder.resolve().name
    return Page(
        title=f"{'Run' if study.single else 'Study'} {name}",
        verdict=said(study, verdict),
        facts=facts(study, space),
        notes=[
            *study.notes,
            *undefined({run.arm: run.undefined for run in study.runs}),
            *_left_out(study),
        ],
        colours=colours,
        chapters=without_gaps(chapters),
        answer=None if study.single else forest_of(verdict, colours),
    )


def said(study: Study, verdict: Verdict) -> list[list[str]]:
    """What a run or a study says, in groups of sentences, the answer first."""
    if study.single:
        return [signs_of(study.runs[0])]
    return [verdict.summary] if verdict.summary else list(verdict.arms.values()) or [[NO_VERDICT]]


def without_gaps(chapters: Mapping[str, Sequence[Section | None]]) -> dict[str, list[Section]]:
    """The sections that are there, and the chapters that have any."""
    there = {name: [s for s in found if s is not None] for name, found in chapters.items()}
    return {name: sections for name, sections in there.items() if sections}


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
    environment.filters |= {"shown": shown, "as_text": as_text, "rows": rows_of, "md": _plain}
    written = []
    for suffix in ["html", *(["md"] if markdown else [])]:
        template = environment.get_template(f"{NAME}.{suffix}.jinja")
        path = folder / f"{page.file}.{suffix}"
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
