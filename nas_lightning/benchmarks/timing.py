"""How things are timed: as ratios, interleaved, so that a machine's moods hit both sides alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Comparison:
    """Two ways to do the same work.

    Attributes:
        target: The ratio, old time over new, that is aimed at.
        old: The way that is compared with; returns nothing.
        new: Ours.
        amount: How much work one call is, in `unit`.
        unit: What is counted, for example `children`.
        limit: The multiplications of this work and nothing else, where they are what bounds it.
        memory: What both ways hold for the backward, in bytes, where that is looked at.
    """

    target: float
    old: Callable[[], object]
    new: Callable[[], object]
    amount: float
    unit: str
    limit: Callable[[], object] | None = None
    memory: Callable[[], tuple[int, int]] | None = None


@dataclass(frozen=True)
class Measured:
    """What a comparison came to.

    Attributes:
        ratio: Median over the repeats of old time / new time.
        lowest: The least of these ratios.
        highest: The greatest.
        old_per_minute: Amount of work a minute, the median.
        new_per_minute: Likewise.
        multiple: Median of new time / time of the limit; None without a limit.
        memory: What the new way holds over what the old one does; None where it is not looked at.
    """

    ratio: float
    lowest: float
    highest: float
    old_per_minute: float
    new_per_minute: float
    multiple: float | None
    memory: float | None


def measure(comparison: Comparison, *, repeats: int) -> Measured:
    """Time both ways, and the limit, in turn; the first round warms up and does not count.

    Args:
        comparison: What to time.
        repeats: Rounds that count.
    """
    ways = [comparison.old, comparison.new]
    if comparison.limit is not None:
        ways.append(comparison.limit)
    rounds = [[_seconds(way) for way in ways] for _ in range(repeats + 1)][1:]
    ratios = [old / new for old, new, *_ in rounds]
    multiples = [new / limit for _, new, *limits in rounds for limit in limits]
    old, new, *_ = (statistics.median(side) for side in zip(*rounds, strict=True))
    held = comparison.memory() if comparison.memory is not None else None
    return Measured(
        ratio=statistics.median(ratios),
        lowest=min(ratios),
        highest=max(ratios),
        old_per_minute=60 * comparison.amount / old,
        new_per_minute=60 * comparison.amount / new,
        multiple=statistics.median(multiples) if multiples else None,
        memory=held[1] / held[0] if held is not None else None,
    )


def _seconds(work: Callable[[], object]) -> float:
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
