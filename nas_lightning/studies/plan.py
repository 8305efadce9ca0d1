"""What a study set out to ask, written before its first run: `plan.json` in its folder.

A question, a margin or a number of seeds that is chosen once the numbers are known says little. So
the plan says when it was made, and the page says what departed from it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from nas_lightning.errors import Remedy, UserError
from nas_lightning.files import read_json, write_json
from nas_lightning.runs.folder import SCHEMA
from nas_lightning.runs.run import Run
from nas_lightning.runs.state import state_of
from nas_lightning.terminal import shown

PLAN = "plan.json"
QUESTIONS = ("loss under common weights", "best child", "mean proposal", "best by table")


@dataclass(frozen=True)
class Plan:
    """A study's plan.

    Attributes:
        made: When, in ISO 8601.
        arms: The arms.
        seeds: Their seeds.
        question: By what arms are compared first.
        margin: Within which a difference counts as none, in the metric's unit; None if equality is
            not to be claimed.
        difference: The one that is to be shown, and None if no number of seeds was planned by it.
        deviation: Standard deviation over seeds of a pilot's differences.
        seeds_needed: How many seeds show that difference with 80 % probability.
    """

    made: str
    arms: Sequence[str]
    seeds: Sequence[int]
    question: str
    margin: float | None = None
    difference: float | None = None
    deviation: float | None = None
    seeds_needed: int | None = None


def now() -> str:
    """The present moment, as a plan has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def write_plan(study: Path, plan: Plan) -> Path:
    """Write a study's plan; returns the file.

    Raises:
        UserError: If a run has begun there: what is written then is no plan.
    """
    begun = [f for f in sorted(study.glob("*/")) if (s := state_of(f)) is not None and s.begun]
    if begun:
        raise UserError(
            f"plan=true: {shown(begun[0])} has begun, and a plan is made before the first run",
            Remedy.ANOTHER_STUDY,
        )
    study.mkdir(parents=True, exist_ok=True)
    write_json(study / PLAN, {"schema": SCHEMA, **asdict(plan)})
    return study / PLAN


def read_plan(study: Path) -> Plan | None:
    """A study's plan; None where there is none that can be read."""
    found = read_json(study / PLAN)
    if found is None:
        return None
    try:
        plan = Plan(**{name: value for name, value in found.items() if name != "schema"})
    except TypeError:
        return None
    return plan if _whole(plan) else None


def _whole(plan: Plan) -> bool:
    numbers = (plan.margin, plan.difference, plan.deviation)
    return (
        isinstance(plan.made, str)
        and plan.question in QUESTIONS
        and _all(plan.arms, str)
        and _all(plan.seeds, int)
        and all(number is None or isinstance(number, (int, float)) for number in numbers)
    )


def _all(values: Any, kind: type) -> bool:
    return isinstance(values, list) and all(type(value) is kind for value in values)


def departures(plan: Plan, runs: Iterable[Run], asked: Sequence[str]) -> list[str]:
    """What of a study is not as it was planned, a line each.

    Args:
        plan: The plan.
        runs: Those that have finished.
        asked: The questions that could be answered.
    """
    had = {(run.arm, run.seed): run for run in runs}
    planned = {(arm, seed) for arm in plan.arms for seed in plan.seeds}
    lines = []
    missing = sorted(planned - had.keys())
    if missing:
        lines.append(f"planned, and not there or not finished: {_listed(missing)}")
    added = sorted(had.keys() - planned)
    if added:
        lines.append(f"there, and not planned: {_listed(added)}")
    early = sorted(
        key for key, run in had.items() if run.stretches and run.stretches[0].began < plan.made
    )
    if early:
        lines.append(f"begun before the plan was made: {_listed(early)}")
    if asked and plan.question not in asked:
        lines.append(f"the question that was planned, {plan.question}, cannot be answered yet")
    return lines


def _listed(keys: Sequence[tuple[str, int]]) -> str:
    by_arm: dict[str, list[int]] = {}
    for arm, seed in keys:
        by_arm.setdefault(arm, []).append(seed)
    return "; ".join(f"{arm}, seed {', '.join(map(str, seeds))}" for arm, seeds in by_arm.items())
