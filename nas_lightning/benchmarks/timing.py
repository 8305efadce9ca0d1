"""How things are timed: as ratios, interleaved, so that a machine's moods hit both sides alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch

from nas_lightning.benchmarks.numbers import Number, over_rounds


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two ways to do the same work.

    Attributes:
        aims: What is aimed at: at least this `ratio` of old time to new time, at most so many times
            the time `of the limit`, at most this share of the `memory`.
        old: The way that is compared with; returns nothing.
        new: Ours.
        amount: How much work one call is, in `unit`.
        unit: What is counted, for example `children`.
        limit: The multiplications of this work and nothing else, where they are what bounds it.
        memory: What both ways hold for the backward, in bytes, where that is looked at.
    """

    aims: Mapping[str, float]
    old: Callable[[], object]
    new: Callable[[], object]
    amount: float
    unit: str
    limit: Callable[[], object] | None = None
    memory: Callable[[], tuple[int, int]] | None = None


def measure(comparison: Comparison, *, rounds: int) -> list[Number]:
    """Time both ways, and the limit, in turn; the first round warms up and does not count.

    Args:
        comparison: What to time.
        rounds: Rounds that count.

    Returns:
        The `ratio` old time / new time, beside it the amount of work a minute; new time / time
        `of the limit`, where there is one; what the new way holds in `memory` over what the old
        one does, where that is looked at.
    """
    ways = [comparison.old, comparison.new]
    if comparison.limit is not None:
        ways.append(comparison.limit)
    times = [[seconds(way) for way in ways] for _ in range(rounds + 1)][1:]
    old, new, *_ = (statistics.median(side) for side in zip(*times, strict=True))
    beside = {
        f"{comparison.unit}/min before": 60 * comparison.amount / old,
        "now": 60 * comparison.amount / new,
    }
    aims = comparison.aims
    ratios = [old / new for old, new, *_ in times]
    found = [over_rounds("ratio", ratios, at_least=aims.get("ratio"), beside=beside)]
    if comparison.limit is not None:
        multiples = [new / limit for _, new, limit in times]
        found.append(over_rounds("of the limit", multiples, at_most=aims.get("of the limit")))
    if comparison.memory is not None:
        held_by_old, held_by_new = comparison.memory()
        share = held_by_new / held_by_old
        found.append(over_rounds("memory", [share], at_most=aims.get("memory")))
    return found


def seconds(work: Callable[[], object]) -> float:
    """How long some work takes."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def machine() -> Mapping[str, str | int]:
    """What the numbers were measured on."""
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }


def _processor() -> str:
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            names = [
                line.split(":", 1)[1].strip() for line in file if line.startswith("model name")
            ]
    except OSError:
        names = []
    return names[0] if names else platform.processor()
