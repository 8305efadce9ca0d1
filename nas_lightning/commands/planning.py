"""The command `python train.py -m … plan=true`: what a study sets out to ask, before its first run.

    python train.py -m experiment=study plan=true
    python train.py -m experiment=study plan=true plan.margin=0.02
    python train.py -m experiment=study plan=true plan.difference=0.05 plan.pilot=outputs/pilot

The arms and seeds are those of the sweep that the same command without `plan=…` runs. `plan.margin`
is the difference within which arms count as equal; `plan.difference` the one that is to be shown,
for which the seeds are counted from the spread of a pilot study.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import DictConfig, OmegaConf

from nas_lightning.assembly.composition import slug
from nas_lightning.assembly.configuration import CONF
from nas_lightning.commands.script import given
from nas_lightning.errors import UserError
from nas_lightning.terminal import shown

KEYS = {"question": None, "margin": None, "difference": None, "pilot": None}
"""What stands behind `plan.`; the question follows from the estimator unless it is given."""

FLAGS = ("-m", "--multirun", "plan=true")


def plan(arguments: list[str]) -> None:
    """Write a study's plan.

    Raises:
        UserError: If it is none, or a run has begun already.
    """
    from nas_lightning.studies.plan import Plan, now, write_plan

    own = [a.removeprefix("plan.") for a in arguments if a.startswith("plan.")]
    others = [a for a in arguments if a not in FLAGS and not a.startswith("plan.")]
    options = given(own, KEYS)
    margin, difference = (_above_zero(options, name) for name in ("margin", "difference"))
    cfg, jobs = jobs_of(others)
    arms, seeds = arms_and_seeds(jobs)
    question = _question(options, cfg)
    deviation, needed = None, None
    if (difference is None) != (options.pilot is None):
        raise UserError(
            "plan.difference and plan.pilot go together: how many seeds show a difference follows "
            "from how much a pilot's seeds differ"
        )
    if difference is not None:
        deviation = _deviation(Path(str(options.pilot)).expanduser(), question)
        needed = _needed(difference, deviation, arms)
    made = Plan(now(), arms, seeds, question, margin, difference, deviation, needed)
    path = write_plan(Path(cfg.hydra.sweep.dir), made)
    print(f"arms       {', '.join(arms)}")
    print(f"seeds      {', '.join(map(str, seeds))}")
    print(f"question   {question}")
    print(f"margin     {'none, equality will not be claimed' if margin is None else margin}")
    if difference is not None:
        print(f"needed     {needed} seeds, to show {difference:g} with 80 % probability")
        if needed is None or needed > len(seeds):
            print(f"note: {len(seeds)} seeds are fewer than that", file=sys.stderr)
    print(f"written    {shown(path)}; the same command without plan=… runs it")


def jobs_of(arguments: list[str]) -> tuple[DictConfig, list[list[str]]]:
    """The configuration with Hydra's own part, and the overrides of every job of a sweep."""
    parser = OverridesParser.create()
    overrides = parser.parse_overrides(arguments)
    fixed = [a for a, o in zip(arguments, overrides, strict=True) if not o.is_sweep_override()]
    with initialize_config_dir(str(CONF), version_base="1.3"):
        cfg = compose("config", fixed, return_hydra_config=True)
    keys = {override.key_or_group for override in overrides}
    params: Mapping[str, Any] = cfg.hydra.sweeper.params or {}
    whole = [*arguments, *(f"{key}={v}" for key, v in params.items() if key not in keys)]
    batches = BasicSweeper.split_arguments(parser.parse_overrides(whole), max_batch_size=None)
    return cfg, [job for batch in batches for job in batch]


def arms_and_seeds(jobs: list[list[str]]) -> tuple[list[str], list[int]]:
    """The arms and seeds of a sweep's jobs, called as those of its folders will be.

    Raises:
        UserError: If it is no comparison of arms over seeds.
    """
    from nas_lightning.studies.arms import named_by_folder
    from nas_lightning.studies.differences import AGAINST

    named = named_by_folder(Path(slug(",".join(sorted(job)))) for job in jobs).values()
    arms = sorted({arm for arm, _ in named})
    seeds = sorted({seed for _, seed in named})
    if len(arms) < 2 or len(seeds) < 2:
        raise UserError(
            "plan=true: a study compares several arms over several seeds, such as "
            "-m arm=lstm,random seed=range(10)"
        )
    if AGAINST not in arms:
        print(f"note: no arm is called {AGAINST}: use arm=…,{AGAINST}", file=sys.stderr)
    return arms, seeds


def _question(options: DictConfig, cfg: DictConfig) -> str:
    """By what arms are compared first; raises UserError if these runs cannot be asked it."""
    shared = str(cfg.estimator._target_).endswith("WeightSharing")
    allowed = ["loss under common weights"] if shared else ["best child", "mean proposal"]
    if OmegaConf.select(cfg, "callbacks.table") is not None:  # it stands beside any search
        allowed.insert(0, "best by table")
    question = allowed[0] if options.question is None else str(options.question)
    if question not in allowed:
        raise UserError(
            f"plan.question={question} is not allowed: must be {' or '.join(allowed)} with this "
            "estimator"
        )
    return question


def _above_zero(options: DictConfig, name: str) -> float | None:
    value = options[name]
    if value is None:
        return None
    if (
        isinstance(value, bool)
        or not isinstance(value, (int, float))
        or not 0 < value < float("inf")
    ):
        raise UserError(f"plan.{name}={value} is not allowed: must be a number above 0")
    return float(value)


def _deviation(pilot: Path, question: str) -> float:
    """The largest standard deviation over seeds of a pilot's differences from random search."""
    from nas_lightning.studies.differences import contenders, paired
    from nas_lightning.studies.questions import questions_of
    from nas_lightning.studies.study import finished_study

    study = finished_study(pilot)
    asked = {q.name: q for q in questions_of(study)}
    values = asked[question].values if question in asked else {}
    found = [paired(values, arm) for arm in contenders(study.finished)]
    spreads = [d.deviation for d in found if d is not None and d.spread]
    if not spreads:
        raise UserError(
            f"plan.pilot={pilot}: has no two seeds of an arm and of random search that answer "
            f"{question}"
        )
    return max(spreads)


def _needed(difference: float, deviation: float, arms: list[str]) -> int | None:
    from nas_lightning.analysis.power import seeds_for
    from nas_lightning.analysis.several import simultaneous
    from nas_lightning.studies.differences import CONTROLS

    due = sum(not arm.startswith(CONTROLS) for arm in arms)
    return seeds_for(difference, deviation, simultaneous(due))
