"""What is left after retraining from scratch: compared only where it was done alike."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import mean
from typing import Any

from nas_lightning.runs.config import differences
from nas_lightning.runs.records import finite
from nas_lightning.runs.run import Run
from nas_lightning.studies.differences import AGAINST, Values, paired, spoken
from nas_lightning.studies.questions import Question, compared, mixed_arms
from nas_lightning.terminal import called

Protocol = dict[str, Any]
"""How a retraining was done: the settings that are the same for all of its grid, what was tried,
and its seeds."""


@dataclass(frozen=True)
class Final:
    """One run's final number, and where it stands.

    Attributes:
        run: Whose.
        path: The file.
        protocol: How it was done.
        value: Mean over its seeds of a metric on test data.
    """

    run: Run
    path: Path
    protocol: Protocol
    value: float


def protocol_of(final: Mapping[str, Any]) -> Protocol:
    """How a retraining was done, so far as its file tells."""
    tried = [setting.get("varied", {}) for setting in final.get("grid") or []]
    varied = {key.removeprefix("retrain.") for setting in tried for key in setting}
    fixed = {k: v for k, v in (final.get("settings") or {}).items() if k not in varied}
    grid = sorted(tried, key=lambda setting: json.dumps(setting, sort_keys=True))
    return {"settings": fixed, "tried": grid, "seeds": sorted(final.get("seeds") or [])}


def finals_of(run: Run, metric: str) -> list[Final]:
    """A run's final numbers, those whose every seed has the metric."""
    found = []
    for path, final in run.finals[0]:
        tested = [finite(of_seed.get(metric)) for of_seed in final.get("test") or []]
        values = [value for value in tested if value is not None]
        if values and len(values) == len(tested):
            found.append(Final(run, path, protocol_of(final), mean(values)))
    return found


def final_numbers(runs: Sequence[Run]) -> list[Question]:
    """By what is left after retraining, where shared numbers cannot compare all arms.

    Of the retrainings that were done alike those of the most runs, random search's among them;
    nothing where there are none, or no arm's weights were trained through mixtures.
    """
    metric = compared(runs)
    by_way: dict[str, dict[tuple[str, int], Final]] = {}
    for run in runs if mixed_arms(runs) else ():
        for final in finals_of(run, metric.name):
            by_way.setdefault(_key(final), {})[run.arm, run.seed] = final
    alike = {way: of for way, of in by_way.items() if any(arm == AGAINST for arm, _ in of)}
    if not alike:
        return []
    chosen = alike[max(alike, key=lambda way: (len(alike[way]), way))]
    question = Question(
        "final number", metric, "final", "its best architecture scores on test data"
    )
    for (arm, seed), final in chosen.items():
        question.values.setdefault(arm, {})[seed] = final.value
    for run in runs:
        if run.arm in question.values and run.seed not in question.values[run.arm]:
            question.dropped.setdefault(run.arm, []).append(run.seed)
    return [question]


def retrained(arm: str, runs: Sequence[Run]) -> str:
    """How the best architectures of an arm and of random search do after retraining."""
    metric = compared(runs)
    found = [f for run in runs if run.arm in (arm, AGAINST) for f in finals_of(run, metric.name)]
    arms_by_way: dict[str, Counter[str]] = {}
    for final in found:
        arms_by_way.setdefault(_key(final), Counter())[final.run.arm] += 1
    common = {way: min(n[arm], n[AGAINST]) for way, n in arms_by_way.items() if len(n) == 2}
    if not common:
        if len({final.run.arm for final in found}) == 2:
            return _not_alike(arm, found)
        return (
            "What remains of it after retraining from scratch has not been measured: "
            f"{called('retrain', 'run=…')} for runs of both arms."
        )
    way = max(common, key=lambda way: (common[way], way))
    chosen = {(f.run.arm, f.run.seed): f for f in found if _key(f) == way}
    values: Values = {}
    for (name, seed), final in chosen.items():
        values.setdefault(name, {})[seed] = final.value
    difference = paired(values, arm)
    if difference is None:
        return (
            "What remains of it after retraining from scratch is not known: the two arms have "
            "fewer than two seeds in common that were retrained alike."
        )
    seeds = len(next(iter(chosen.values())).protocol["seeds"])
    files = sorted({str(f.path.relative_to(f.run.folder)) for f in chosen.values()})
    others = sum(_key(f) != way for f in found)
    more = f"; {others} files of retrainings done otherwise are left out" if others else ""
    return (
        f"Retrained from scratch alike, {seeds} trainings each, its best architectures score "
        f"{difference.mean:+.3g} {metric.unit or metric.title} against {AGAINST}'s on test data "
        f"{spoken(difference, 'final')}. Read from {_listed(files)} of each run{more}."
    )


def _key(final: Final) -> str:
    return json.dumps(final.protocol, sort_keys=True)


def _not_alike(arm: str, found: Sequence[Final]) -> str:
    """In what the retrainings of two arms differ, as far as one pair tells."""
    one = next(f for f in found if f.run.arm == arm)
    other = next(f for f in found if f.run.arm == AGAINST)
    where = [
        f"{key} is {new} in {one.run.folder.name}/{one.path.relative_to(one.run.folder)} and "
        f"{old} in {other.run.folder.name}/{other.path.relative_to(other.run.folder)}"
        for key, old, new in differences(other.protocol, one.protocol)
    ]
    return (
        "What remains of it after retraining from scratch is not compared: the two arms were "
        f"retrained differently ({where[0]}); {called('retrain', 'run=…')} with the same settings "
        "and seeds for runs of both."
    )


def _listed(files: Sequence[str]) -> str:
    return files[0] if len(files) == 1 else f"{files[0]} and {len(files) - 1} more"
