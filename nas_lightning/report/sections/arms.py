"""The arms of a study compared: against random search, with each other, and over the budget."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nas_lightning.analysis.statistics import Interval
from nas_lightning.metrics import number
from nas_lightning.report.charts import Band, curves
from nas_lightning.report.contents import Cell, Figure, Section, Table, aligned
from nas_lightning.report.forest import differences, letters_of
from nas_lightning.report.rankings import intervals, panels, ranked
from nas_lightning.report.svg import inline
from nas_lightning.studies.budget import curves as best_curves
from nas_lightning.studies.budget import equality, so_far
from nas_lightning.studies.comparisons import Comparison, Ranking
from nas_lightning.studies.differences import AGAINST, TwoSamples
from nas_lightning.studies.plan import PLAN, departures, read_plan
from nas_lightning.studies.questions import Question
from nas_lightning.studies.study import Study
from nas_lightning.studies.verdict import Verdict

Colours = Mapping[str, str]

SHORT = {
    "better": "better",
    "worse": "worse",
    "the same": "no different, within the margin",
    "not shown": "not shown",
    "no spread": "no verdict: no spread",
    "too much lost": "no verdict: too much diverged",
}

SPENT = {
    "evaluations": "architectures judged",
    "tokens": "tokens judged on",
    "images": "images trained on",
    "epochs": "epochs trained",
    "minibatches": "minibatches that a network has passed",
    "multiply-adds": "multiply-adds",
}
"""What a budget is counted in, on an axis."""

IN_ONE = 4
"""Arms whose curves stand in one figure; more have a panel each."""


PAIRED = "Differences are paired by seed: runs of one seed share what is random."
TWO_SAMPLES = (
    "Architectures were looked up, and runs of one seed share nothing worth pairing: differences "
    "are those of two samples (Welch). Where a table has one training an architecture, the noise "
    "of that training is part of what counts as best: in that of NAS-Bench-201 cells that are the "
    "same network differ by about 0.25 points, so that regret below 0.3 means nothing."
)

HOW = (
    "Intervals hold for all arms at once with 95 % (Bonferroni), p-values are Holm's over all "
    "arms, so that all verdicts together are right in 95 % of studies. P(better) is the "
    "probability that a run of the arm is better than one of the other, ties half.",
    "Lines at the right join arms no two of which can be told apart when all pairs are compared at "
    "once (Holm's p-values over the pairs); they share a letter in the table. All pairs ask for "
    f"more than the verdicts do: an arm that is better than {AGAINST} may still share a letter "
    "with it. That two cannot be told apart does not say that they are equal.",
)


def arms(verdict: Verdict, colours: Colours) -> list[Section]:
    """Which arms are better than random search, and which cannot be told apart, by question."""
    sections = []
    for place, found in enumerate(verdict.rankings):
        order = dict.fromkeys([*found.means, *verdict.arms])  # some are compared by no number
        groups = [verdict.arms[arm] for arm in order if arm in verdict.arms]
        sections.append(
            Section(
                f"arms-{place}" if place else "arms",
                f"The arms compared by {found.question.name}",
                _how(found) if place == 0 else (),
                _figures(found, colours),
                [_against(found, verdict.learned), _ranking(found)],
                groups=groups if verdict.summary and place == 0 else (),
            )
        )
    return sections


def _how(found: Ranking) -> list[str]:
    """How the arms are compared."""
    first, *rest = HOW
    by = TWO_SAMPLES if isinstance(found.question.values, TwoSamples) else PAIRED
    return [f"{by} {first}", *rest]


def _figures(found: Ranking, colours: Colours) -> list[Figure]:
    question = found.question
    label = question.metric.label(question.kind)
    values = {arm: list(question.values[arm].values()) for arm in found.means}
    image = inline(
        ranked(values, found.groups, colours, x=f"{question.name}: {label}"),
        name=f"ranking-{question.name.replace(' ', '-')}",
        alt=f"{question.name}, best first: "
        + "; ".join(f"{arm} {number(mean)}" for arm, mean in found.means.items()),
    )
    figures = [
        Figure(
            image,
            f"By {question.name}: a dot a seed, the mean as a line, the best first",
        )
    ]
    drawn = {
        arm: Interval(c.at_once.mean, c.at_once.low, c.at_once.high)
        for arm in found.means
        if (c := found.against.get(arm)) is not None and c.difference.spread
    }
    if drawn:
        unit = question.unit
        better = "left" if question.metric.sign < 0 else "right"
        image = inline(
            intervals(drawn, colours, x=f"minus {AGAINST}'s, {unit} ({question.kind})"),
            name=f"intervals-{question.name.replace(' ', '-')}",
            alt=f"{question.name} minus {AGAINST}'s: "
            + "; ".join(f"{arm} {d.value:+.3g}" for arm, d in drawn.items()),
        )
        caption = f"{question.name} minus {AGAINST}'s, 95 % for all at once; {better} is better"
        figures.append(Figure(image, caption[0].upper() + caption[1:]))
    return figures


def _against(found: Ranking, learned: Mapping[str, bool]) -> Table:
    """Every arm against random search; columns in which nothing stands are left out."""
    question = found.question
    columns: dict[str, list[Cell]] = {}
    shown = dict(zip(found.against, differences(list(found.against.values())), strict=True))
    of_medians = {
        arm: None if c.medians is None else c.medians.mean for arm, c in found.against.items()
    }
    medians = _digits(found, of_medians, signed=True)
    smallest = _digits(found, {arm: c.smallest for arm, c in found.against.items()})
    for arm in found.means:
        c = found.against.get(arm)
        if c is None:
            continue
        row: dict[str, Cell] = {
            "arm": arm,
            f"than {AGAINST}": SHORT[c.answer] + ("" if learned[arm] else "; learning not shown"),
            "seeds": c.difference.n,
            f"minus {AGAINST}'s": shown[arm],
            "of medians": medians[arm],
            "Holm's p": _p(c.p) if c.difference.spread else "–",
            "P(better)": f"{c.better:.2f}",
            "could show": smallest[arm],
            "seeds needed": _needed(c),
            "diverged": f"{question.lost[arm]:.1%}" if question.lost.get(arm) else "–",
        }
        for name, cell in row.items():
            columns.setdefault(name, []).append(cell)
    kept = {name: cells for name, cells in columns.items() if set(cells) != {"–"}}
    caption = (
        f"Against {AGAINST}, {question.unit} ({question.kind}), {_better(question)} is better: "
        "what these seeds could show with 80 % probability, and how many would show what was seen"
    )
    return Table(caption, list(kept), list(zip(*kept.values(), strict=True)))


def _better(question: Question) -> str:
    return "less" if question.metric.sign < 0 else "more"


def _ranking(found: Ranking) -> Table:
    """All arms, the best first, and who cannot be told apart."""
    question, best = found.question, next(iter(found.means))
    letters = letters_of(found)
    shown = dict(zip(found.with_best, differences(list(found.with_best.values())), strict=True))
    head = [
        "rank",
        "arm",
        "cannot be told apart",
        f"mean, {question.unit}",
        "seeds",
        f"minus {best}'s",
        "P(better)",
    ]
    rows: list[list[Cell]] = []
    for rank, (arm, mean) in enumerate(found.means.items(), start=1):
        c = found.with_best.get(arm)
        rows.append(
            [
                rank,
                arm,
                letters[arm],
                mean,
                len(question.values[arm]),
                shown.get(arm, "–"),
                "–" if c is None else f"{c.better:.2f}",
            ]
        )
    caption = (
        f"Ranking by {question.name} ({question.kind}): arms that share a letter cannot be told "
        f"apart; intervals hold for all pairs at once{_fewer_seeds(found)}"
    )
    return Table(caption, head, rows)


def _fewer_seeds(found: Ranking) -> str:
    seeds = {frozenset(found.question.values[arm]) for arm in found.means}
    adjusted = f"; an arm with other seeds by its difference from {AGAINST}'s over those of both"
    return adjusted if len(seeds) > 1 else ""


def _digits(
    found: Ranking, values: Mapping[str, float | None], *, signed: bool = False
) -> dict[str, str]:
    """Arm -> its number with as many digits after the point as the others', a dash without one."""
    known = [value for value in values.values() if value is not None]
    digits = iter(aligned(known, digits=2, signed=signed))
    return {arm: "–" if values[arm] is None else next(digits) for arm in found.against}


def _p(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def _needed(comparison: Comparison) -> Cell:
    if comparison.answer in ("better", "worse") or not comparison.difference.spread:
        return "–"
    needed = comparison.seeds_needed
    return "out of reach" if needed is None else f"{needed:,}"


def budget(study: Study, colours: Colours) -> Section | None:
    """The best found so far over what was spent, of all arms."""
    if study.single or not study.finished:
        return None
    metric = study.finished[0].objective
    runs = [run for run in study.finished if run.objective == metric]
    figures = []
    for unit, of_runs in best_curves(runs, metric).items():
        found = so_far(of_runs)
        bands = {arm: Band(s.spent, s.middle, s.low, s.high) for arm, s in found.items()}
        if not bands or max(len(band.x) for band in bands.values()) < 2:
            continue
        x = SPENT[unit]
        ends = "; ".join(f"{arm} {number(float(b.mean[-1]))}" for arm, b in bands.items())
        title = f"best so far: {metric.label()}"
        many = len(bands) > IN_ONE
        image = inline(
            panels(bands, colours, beside=AGAINST, x=x, title=title)
            if many
            else curves(bands, colours, x=x, title=title, logarithmic=True),
            name=f"budget-{unit}",
            alt=f"Best {metric.title} so far over {unit}, at the end: {ends}",
        )
        figures.append(Figure(image, f"Best so far over {x} ({study.kind})", wide=many))
    if not figures:
        return None
    text = [
        "Lines are interquartile means over seeds (without the best and the worst quarter); bands "
        "reach from the smallest to the largest seed, as far as all seeds have got.",
    ]
    if any("multiply-adds" in figure.caption for figure in figures):
        text.append("Of multiply-adds a forward pass counts 1, a training step 3.")
    else:
        text.append("Multiply-adds were not counted in these runs.")
    if said := equality(runs, metric):
        text.append(said)
    if any(figure.wide for figure in figures):
        text.append(f"The dashed line is {AGAINST}.")
    if study.kind == "shared":
        text.append(
            "Under shared weights the best is scored anew after every epoch, by weights that each "
            "arm has trained for itself: a lower curve is no proof of better architectures."
        )
    return Section("budget", "The best so far", text, figures, by_arm=True)


def plan(study: Study, verdict: Verdict) -> Section | None:
    """What the study set out to ask, and what departed from it."""
    found = None if study.single else read_plan(study.folder)
    if found is None:
        return None
    seeds = f"{len(found.seeds)} seeds ({_range(found.seeds)})"
    margin = found.margin
    facts: list[list[Cell]] = [
        ["made", found.made],
        ["arms", ", ".join(found.arms)],
        ["seeds", seeds],
        ["question", f"{found.question}, every arm against {AGAINST}"],
        [
            "margin",
            "none, equality is not claimed" if margin is None else f"{margin:g}",
        ],
    ]
    if found.difference is not None:
        by = (
            f", by a pilot's standard deviation of {found.deviation:.3g}" if found.deviation else ""
        )
        facts.append(
            ["to be shown with 80 %", f"{found.difference:g}: {found.seeds_needed} seeds{by}"]
        )
    away = departures(found, study.finished, [r.question.name for r in verdict.rankings])
    text = [f"{PLAN} was written before the first run. What departed from it:"]
    text += [f"{line[0].upper()}{line[1:]}." for line in away] or ["Nothing."]
    return Section(
        "plan", "The plan", text, tables=[Table("As planned", ["what", "as planned"], facts)]
    )


def _range(seeds: Sequence[int]) -> str:
    whole = list(seeds) == list(range(seeds[0], seeds[-1] + 1)) if seeds else False
    return f"{seeds[0]} to {seeds[-1]}" if whole and len(seeds) > 1 else ", ".join(map(str, seeds))
