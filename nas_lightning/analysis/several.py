"""Many arms at once: corrections that keep all their verdicts together right.

With 8 arms that all equal random search, tests at 5 % each would find at least one of them better
in 13 studies of a hundred. Holm's p-values and Bonferroni's intervals hold for all arms together,
however their numbers depend on each other: all share random's.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

import networkx as nx
import numpy as np

from nas_lightning.analysis.statistics import LEVEL


def holm(p_values: Sequence[float]) -> list[float]:
    """Holm's adjusted p-values (Holm 1979), in the order given.

    Rejecting where they are at most 5 % makes a false rejection in at most 5 % of all studies.
    """
    order = np.argsort(p_values, kind="stable")
    factors = np.arange(len(p_values), 0, -1)
    steps = np.maximum.accumulate(np.asarray(p_values, np.float64)[order] * factors)
    adjusted = np.empty(len(p_values))
    adjusted[order] = np.minimum(steps, 1)
    return [float(p) for p in adjusted]


def simultaneous(intervals: int, level: float = LEVEL) -> float:
    """The level of each of several intervals that all hold at once with `level` (Bonferroni)."""
    return 1 - (1 - level) / max(intervals, 1)


def groups(arms: Sequence[str], apart: Collection[tuple[str, str]]) -> list[list[str]]:
    """The largest groups of arms no two of which can be told apart, in the order of the arms.

    Two arms share a group if and only if they cannot be told apart. Groups may overlap: that two
    cannot be told from a third does not say that they are the same.

    Args:
        arms: In the order in which they are shown.
        apart: Pairs that can be told apart, in either order.
    """
    graph = nx.Graph()
    graph.add_nodes_from(arms)
    for one, other in itertools.combinations(arms, 2):
        if (one, other) not in apart and (other, one) not in apart:
            graph.add_edge(one, other)
    place = {arm: number for number, arm in enumerate(arms)}
    found = [sorted(clique, key=place.__getitem__) for clique in nx.find_cliques(graph)]
    return sorted(found, key=lambda group: [place[arm] for arm in group])
