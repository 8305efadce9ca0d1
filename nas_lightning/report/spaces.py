"""The pages of a study over search spaces: one that compares them, and one for each of them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from statistics import mean, stdev

from nas_lightning.metrics import number
from nas_lightning.report.contents import Cell, Section, Table
from nas_lightning.report.page import NAME, Page, page_of, without_gaps
from nas_lightning.report.sections.architectures import best_architectures
from nas_lightning.report.sections.provenance import facts, final_numbers, runs
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.studies.arms import refuse_mixed
from nas_lightning.studies.spaces import Finals, difference_of_ways, finals_by_arm, spent_by
from nas_lightning.studies.study import Study
from nas_lightning.terminal import called

NOT_COMPARED = (
    "What is not compared: numbers under shared weights or after short trainings, rewards, KL to "
    "uniform and all that follows from them. They are of one space each: other spaces have other "
    "weights, other networks and other sizes."
)
UNTESTED = "Nothing is tested between spaces."

Spaces = Mapping[str, SearchSpace | None]


def pages_of(studies: Mapping[str, Study], spaces: Spaces) -> list[Page]:
    """The page of all spaces, then that of each.

    Args:
        studies: What a space is called -> its runs.
        spaces: What it is called -> the space; None leaves the drawings out.

    Raises:
        UserError: If they are of different data.
    """
    firsts = {study.runs[0].folder: study.runs[0].config for study in studies.values()}
    refuse_mixed(firsts, nodes=())
    files = {name: f"{NAME}_{re.sub(r'[^0-9A-Za-z=]+', '_', name)}" for name in studies}
    pages = [
        replace(page_of(study, spaces[name]), file=files[name], title=f"{title_of(study)}: {name}")
        for name, study in studies.items()
    ]
    return [page_of_spaces(studies, spaces, files), *pages]


def title_of(study: Study) -> str:
    """What a study is called."""
    return f"Study {study.folder.resolve().name}"


def page_of_spaces(studies: Mapping[str, Study], spaces: Spaces, files: Mapping[str, str]) -> Page:
    """The page that compares what can be compared, and says what cannot; see `pages_of`."""
    every = joined(studies)
    best: list[Section] = []
    for place, (name, study) in enumerate(studies.items()):
        section = best_architectures(study, spaces[name])
        if section is not None:
            best.append(replace(section, anchor=f"best-{place}", title=f"The best of {name}"))
    sizes = [
        f"{name}: {space.largest.size:.2g} architectures"
        for name, space in spaces.items()
        if space is not None
    ]
    known = {**facts(every, None), "search spaces": "; ".join(sizes)}
    known.pop("search space", None)
    own = [f"{name}: {file}.html" for name, file in files.items()]
    return Page(
        title=f"{title_of(every)} over {len(studies)} search spaces",
        verdict=[[*compared(studies), NOT_COMPARED]],
        facts={**known, "a page for each space": "; ".join(own)},
        notes=list(dict.fromkeys(note for study in studies.values() for note in study.notes)),
        colours={},
        chapters=without_gaps(
            {
                "Answer": [table_of(studies), final_numbers(every)],
                "Architectures": best,
                "Provenance": [runs(every)],
            }
        ),
    )


def joined(studies: Mapping[str, Study]) -> Study:
    """All runs as those of one study, every arm named after its space."""
    found = [
        replace(run, arm=name if len(study.arms) == 1 else f"{name}: {run.arm}")
        for name, study in studies.items()
        for run in study.runs
    ]
    folder = next(iter(studies.values())).folder
    return Study(folder, single=False, runs=found, failed=(), absent={}, unreadable={})


def compared(studies: Mapping[str, Study]) -> list[str]:
    """What can be said of the spaces, the answer first."""
    objectives = {study.runs[0].objective for study in studies.values()}
    if len(objectives) > 1:
        names = ", ".join(sorted(objective.title for objective in objectives))
        return [f"Only what the searches cost is compared: final numbers are of several: {names}."]
    objective = objectives.pop()
    known = {name: finals_by_arm(study, objective.name) for name, study in studies.items()}
    missing = [name for name, arms in known.items() if not arms]
    if missing:
        return [
            "Only what the searches cost is compared: final numbers are missing of "
            f"{' and '.join(missing)}; {called('retrain', 'run=…')} for runs of each space."
        ]
    means = {
        name: mean(final.value for arm in arms.values() for final in arm.of)
        for name, arms in known.items()
    }
    order = sorted(means, key=lambda name: -objective.sign * means[name])
    said = ", ".join(f"{name} {number(means[name])}" for name in order)
    answer = f"Retrained from scratch, by test {objective.label('final')}, means over runs: {said}."
    other = difference_of_ways([finals for arms in known.values() for finals in arms.values()])
    alike = "All were retrained alike." if other is None else f"Not retrained alike: {other}."
    return [answer, f"{alike} {UNTESTED}"]


def table_of(studies: Mapping[str, Study]) -> Section:
    """Final numbers and cost, a row for each arm of each space."""
    objective = next(iter(studies.values())).runs[0].objective
    units = list(dict.fromkeys(unit for study in studies.values() for unit in spent_by(study)))
    head = [
        *("search space", "arm", "runs", f"test {objective.label('final')}", "retrained"),
        *("parameters", "multiply-adds", "architectures judged"),
        *(unit.removeprefix("derive/").replace("_", " ") for unit in units),
    ]
    rows: list[list[Cell]] = []
    for name, study in studies.items():
        finals = finals_by_arm(study, objective.name)
        for arm in study.arms:
            of_arm = study.of(arm)
            spent = [[v for run in of_arm if (v := run.last(unit)) is not None] for unit in units]
            rows.append(
                [
                    *(name, arm, len(of_arm), *_final_cells(finals.get(arm))),
                    mean(run.judged.rows for run in of_arm),
                    *(mean(values) if values else None for values in spent),
                ]
            )
    text = ["Means over runs; what a search has cost is without its retraining."]
    return Section("spaces", "What can be compared", text, tables=[Table("By space", head, rows)])


def _final_cells(finals: Finals | None) -> list[Cell]:
    """The number over runs, how many, and what the networks cost."""
    if finals is None:
        return [None, 0, None, None]
    values = [final.value for final in finals.of]
    spread = f" ± {stdev(values):.2g}" if len(values) > 1 else ""
    costs: list[Cell] = []
    for cost in ("parameters", "multiply_adds"):
        found = [dict(final.run.finals[0])[final.path].get(cost) for final in finals.of]
        whole = [float(value) for value in found if isinstance(value, (int, float))]
        costs.append(mean(whole) if whole else None)
    return [f"{mean(values):.4g}{spread}", len({final.run.seed for final in finals.of}), *costs]
