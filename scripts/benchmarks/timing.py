"""How things are timed: as ratios, interleaved, so that a machine's moods hit both sides alike."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch

from benchmarks.numbers import Number, over_rounds


@dataclass(frozen=True, kw_only=True)
class Aims:
    """What is aimed at; None where nothing is.

    Attributes:
        ratio: At least this, plain time over ours.
        of_the_limit: At most this, our time over that of the limit.
        memory: At most this, our memory over the plain way's.
    """

    ratio: float | None = None
    of_the_limit: float | None = None
    memory: float | None = None


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two ways to do the same work.

    Attributes:
        aims: What is aimed at.
        plain: The way that is compared with; returns nothing.
        ours: Ours.
        amount: How much work one call is, in `unit`.
        unit: What is counted, for example `children`.
        limit: The multiplications of this work and nothing else, where they are what bounds it.
        memory: What the plain way and ours need, in bytes, where that is looked at.
    """

    aims: Aims
    plain: Callable[[], object]
    ours: Callable[[], object]
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
        The `ratio` plain time / our time, beside it the amount of work a minute; our time / time
        `of the limit`, where there is one; our `memory` over the plain way's, where that is looked
        at.
    """
    ways = [comparison.plain, comparison.ours]
    if comparison.limit is not None:
        ways.append(comparison.limit)
    times = [[seconds(way) for way in ways] for _ in repeats(rounds + 1)][1:]
    plain, ours, *_ = (statistics.median(side) for side in zip(*times, strict=True))
    beside = {
        f"{comparison.unit}/min plain": 60 * comparison.amount / plain,
        "ours": 60 * comparison.amount / ours,
    }
    aims = comparison.aims
    ratios = [plain / ours for plain, ours, *_ in times]
    found = [over_rounds("ratio", ratios, at_least=aims.ratio, beside=beside)]
    if comparison.limit is not None:
        multiples = [ours / limit for _, ours, limit in times]
        found.append(over_rounds("of the limit", multiples, at_most=aims.of_the_limit))
    if comparison.memory is not None:
        by_plain, by_ours = comparison.memory()
        beside = {"MB plain": by_plain / 1e6, "ours": by_ours / 1e6}
        share = by_ours / by_plain
        found.append(over_rounds("memory", [share], at_most=aims.memory, beside=beside))
    return found


products: list[float] = []
"""Seconds of a fixed matrix product before every repeat in this process: how they differ is the
machine's doing, and no ratio's."""


def repeats(number: int) -> Iterator[int]:
    """Count repeats, and time the fixed matrix product, with one thread, before each."""
    factor = torch.ones(1024, 1024)
    product = torch.empty_like(factor)
    for repeat in range(number):
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # whatever the row has: its products are compared
        torch.mm(factor, factor, out=product)  # the first after other work is slower
        products.append(seconds(lambda: torch.mm(factor, factor, out=product)))
        torch.set_num_threads(threads)
        yield repeat


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
