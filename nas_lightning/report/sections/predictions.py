"""How well predictors rank, stage by stage where a search has stages; what own proposers answer."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import mean

from nas_lightning.report.contents import Cell, Section, Table
from nas_lightning.runs.records import finite
from nas_lightning.runs.run import Run
from nas_lightning.studies.study import Study

STAGES = {
    "pnas/decisions": "decisions",
    "pnas/kept": "kept",
    "pnas/thrown_away": "thrown away",
    "pnas/reward_kept": "reward of the kept",
    "pnas/reward_thrown_away": "reward of a uniform sample of the others",
    "pnas/spearman": "Spearman",
    "pnas/spread_spearman": "Spearman of spread and error",
}
FITS = {
    "predictor/fitted_on": "fitted on",
    "predictor/spearman": "Spearman",
    "predictor/spread_spearman": "Spearman of spread and error",
}
ANSWERS = {
    "proposer/invalid": "share that was no architecture",
    "proposer/repeated": "share that was known already",
}

MEANS = (
    "Spearman's rank correlation is between what was predicted of architectures and how they were "
    "judged; they are uniform, judged for this alone, and count in the budget. Without a number "
    "nothing had been predicted yet, or none was set apart."
)


def predictions(study: Study) -> Section | None:
    """Tables of stages, of fits and of answers, means over an arm's runs."""
    stages = [row for arm in study.arms for row in _stages(arm, study.of(arm))]
    tables = [Table("Stages", ["arm", "stage", *STAGES.values()], stages)] if stages else []
    captions = {
        "predictor/fitted_on": ("The last fit", FITS),
        "proposer/invalid": ("Answers of an own proposer", ANSWERS),
    }
    for name, (caption, columns) in captions.items():
        rows: list[list[Cell]] = [
            [arm, *(_mean([run.last(column) for run in study.of(arm)]) for column in columns)]
            for arm in study.arms
            if any(name in run.metrics for run in study.of(arm))
        ]
        if rows:
            tables.append(Table(caption, ["arm", *columns.values()], rows))
    if not tables:
        return None
    return Section("predictions", "What was predicted", [MEANS], [], tables)


def _stages(arm: str, runs: Sequence[Run]) -> list[list[Cell]]:
    """A row a finished stage; the last one goes on with its next best, and may be there often."""
    each = [_by_step(run) for run in runs]
    longest = max(map(len, each))
    rows: list[list[Cell]] = []
    for number in range(longest):
        there = [stages[number] for stages in each if number < len(stages)]
        rows.append([arm, number + 1, *(_mean([s.get(name) for s in there]) for name in STAGES)])
    return rows


def _by_step(run: Run) -> list[dict[str, float | None]]:
    """What was recorded when each stage was finished."""
    steps: dict[int, dict[str, float | None]] = {}
    for name in STAGES:
        series = run.metrics.get(name)
        if series is not None:
            for step, value in zip(series.steps, series.values, strict=True):
                steps.setdefault(step, {})[name] = finite(value)
    return [steps[step] for step in sorted(steps)]


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return mean(known) if known else None
