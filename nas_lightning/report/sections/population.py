"""The population of a search that evolves one: fitness, age, family, and how alike they are."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from nas_lightning.analysis.population import Course, followed, worth
from nas_lightning.report.charts import band, births, curves
from nas_lightning.report.contents import Cell, Figure, Section, Table
from nas_lightning.report.sections.architectures import best_run
from nas_lightning.report.svg import inline
from nas_lightning.runs.config import at
from nas_lightning.runs.run import Run
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.studies.study import Study

TEXT = (
    "An individual is born when it is judged first; its fitness is its reward when it was judged "
    "last. Dots are births: coloured if alive at the end, and the line joins the ancestors of the "
    "best."
)
SHARED = "Under shared weights, rewards of different epochs were measured under different weights."


def population(
    study: Study, space: SearchSpace | None, colours: Mapping[str, str]
) -> Section | None:
    """The population of each arm's best run, and of all its seeds how alike its members are."""
    courses = {
        arm: [(run, course) for run in study.of(arm) if (course := course_of(run)) is not None]
        for arm in study.arms
    }
    courses = {arm: found for arm, found in courses.items() if found}
    if not courses:
        return None
    figures: list[Figure] = []
    tables: list[Table] = []
    for arm, found in courses.items():
        run = best_run([run for run, _ in found]) or found[0][0]
        course = next(course for one, course in found if one is run)
        who = "" if study.single else f"{arm}, seed {run.seed}: "
        line = course.ancestors(best_of(run, course))
        image = inline(
            births(course, line, colours[arm]),
            name=f"births-{len(figures)}",
            alt=f"{who}fitness of {len(course.everyone)} individuals by their birth",
        )
        figures.append(
            Figure(image, f"{who}fitness (reward) by birth, but for the worst tenth", wide=True)
        )
        tables += [family(course, line, space, who), living(course, space, who)]
    bands = {
        arm: band([([n for n, _ in c.diversity], [d for _, d in c.diversity]) for _, c in found])
        for arm, found in courses.items()
    }
    title = "share of decisions in which two members differ"
    ends = "; ".join(f"{arm} ends at {b.mean[-1]:.3g}" for arm, b in bands.items())
    image = inline(
        curves(bands, colours, x="architectures proposed", title=title),
        name="population-diversity",
        alt=f"{title}: {ends}",
    )
    figures.append(Figure(image, "diversity of the population over time"))
    text = [TEXT, SHARED] if study.kind == "shared" else [TEXT]
    return Section("population", "The population", text, figures, tables, by_arm=not study.single)


def course_of(run: Run) -> Course | None:
    """What became of a run's population; None if it has none."""
    size, aging = at(run.config, "controller.population"), at(run.config, "controller.aging")
    if not (run.judged.bred and isinstance(size, int) and isinstance(aging, bool)):
        return None
    return followed(run.judged.bred, size=size, aging=aging)


def best_of(run: Run, course: Course) -> int:
    """The individual that is the run's best architecture; the fittest alive if that is none."""
    actions = (run.best or {}).get("actions")
    found = [i for i, one in enumerate(course.everyone) if list(one.actions) == actions]
    return found[-1] if found else max(course.alive, key=lambda i: worth(course.everyone[i]))


def family(course: Course, line: Sequence[int], space: SearchSpace | None, who: str) -> Table:
    """The ancestors of the best: what was mutated from what."""
    children = [one.parent for one in course.everyone]
    rows: list[list[Cell]] = []
    for generation, place in enumerate(line):
        one = course.everyone[place]
        rows.append(
            [
                generation,
                one.number,
                one.epoch,
                one.fitness,
                children.count(place),
                changed(course, place, space),
            ]
        )
    head = ["generation", "born as number", "epoch", "fitness (reward)", "children", "mutation"]
    return Table(f"{who}the family of the best, from its first ancestor on", head, rows)


def living(course: Course, space: SearchSpace | None, who: str) -> Table:
    """Who is alive at the end, the fittest first."""
    order = sorted(course.alive, key=lambda i: -worth(course.everyone[i]))
    rows: list[list[Cell]] = []
    for place in order:
        one = course.everyone[place]
        parent = None if one.parent is None else course.everyone[one.parent].number
        age = course.proposals - one.number
        rows.append(
            [
                one.number,
                age,
                one.fitness,
                parent,
                changed(course, place, space),
                json.dumps(list(one.actions)),
            ]
        )
    head = ["born as number", "age", "fitness (reward)", "parent", "mutation", "architecture"]
    caption = f"{who}the population at the end; age in architectures proposed since"
    return Table(caption, head, rows)


def changed(course: Course, place: int, space: SearchSpace | None) -> str:
    """In which decisions an individual differs from its parent, in words."""
    one = course.everyone[place]
    if one.parent is None:
        return "given" if one.given else "drawn uniformly"
    before = course.everyone[one.parent].actions
    decisions = space.largest.decisions if space is not None else ()
    said = []
    for t, (old, new) in enumerate(zip(before, one.actions, strict=False)):
        if old != new and t < len(decisions):
            choices = decisions[t].choices
            said.append(f"{decisions[t].name}: {choices[old]} → {choices[new]}")
        elif old != new:
            said.append(f"decision {t}: {old} → {new}")
    return "; ".join(said) or "none"
