"""What became of a population that evolves, followed through the ledger of its run.

A ledger's row says where an architecture is from: `uniform`, its parent, or `again` for a member
that was judged once more. Who is alive follows from the rule of the population: the oldest die, or
the worst.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

PLACES = 100
"""At how many moments diversity is measured, at most."""


@dataclass
class Individual:
    """A member of the population, alive or dead.

    Attributes:
        number: Of how many proposals it is the last, counted from 1.
        epoch: When it was born.
        actions: What it chooses.
        fitness: Its reward when it was judged last; None if that was no finite number.
        parent: Its place in the list of all individuals; None if it was drawn, or given.
        given: Whether it was given to the search.
    """

    number: int
    epoch: int
    actions: Sequence[int]
    fitness: float | None
    parent: int | None
    given: bool = False


@dataclass(frozen=True)
class Course:
    """What became of a population.

    Attributes:
        everyone: All who were ever born, in order.
        alive: The places of those who are alive at the end, oldest first.
        proposals: How many architectures were proposed, those judged again included.
        diversity: After how many proposals, and the share of decisions in which two members differ.
    """

    everyone: list[Individual]
    alive: list[int]
    proposals: int
    diversity: list[tuple[int, float]]

    def ancestors(self, of: int) -> list[int]:
        """The places from the first ancestor, who was drawn, down to one individual."""
        line = [of]
        while (parent := self.everyone[line[0]].parent) is not None:
            line.insert(0, parent)
        return line


def followed(rows: Sequence[Mapping[str, Any]], *, size: int, aging: bool) -> Course:
    """Follow a population.

    Args:
        rows: Of a ledger, those with an origin, in order.
        size: How many are alive at most.
        aging: Whether the oldest die; if not, the worst.
    """
    everyone: list[Individual] = []
    alive: list[int] = []
    waiting: list[int] = []
    epoch = proposals = 0
    diversity = []
    steps = [list(step) for _, step in groupby(rows, key=lambda row: row["controller_step"])]
    every = -(-len(steps) // PLACES)
    for number, step in enumerate(steps, 1):
        before = list(alive)
        for row in step:
            proposals += 1
            actions, fitness, origin = row["actions"], row["reward"], row["origin"]
            if origin == "again":
                if not waiting or row["epoch"] != epoch:  # all of them, and each epoch anew
                    waiting, epoch = list(alive), row["epoch"]
                found = next((i for i in waiting if same(everyone[i].actions, actions)), None)
                if found is not None:
                    waiting.remove(found)
                    everyone[found].fitness = fitness
                continue
            parents = [i for i in before if same(everyone[i].actions, origin)]
            parent = parents[-1] if parents and isinstance(origin, list) else None
            alive.append(len(everyone))
            given = origin == "given"
            everyone.append(Individual(proposals, row["epoch"], actions, fitness, parent, given))
        alive = survivors(everyone, alive, size=size, aging=aging)
        if number % every == 0:
            diversity.append((proposals, difference([everyone[i].actions for i in alive])))
    return Course(everyone, alive, proposals, diversity)


def survivors(
    everyone: Sequence[Individual], alive: Sequence[int], *, size: int, aging: bool
) -> list[int]:
    """Who of the living stays, oldest first."""
    if aging:
        return list(alive[-size:])
    best = sorted(alive, key=lambda i: -worth(everyone[i]))
    return sorted(best[:size])


def worth(individual: Individual) -> float:
    """By what individuals are ordered: whose judging failed is the worst."""
    return float("-inf") if individual.fitness is None else individual.fitness


def same(one: Iterable[int], other: Iterable[int]) -> bool:
    """Whether two are alike in the decisions that both have: in a space that grows one has more."""
    return all(a == b for a, b in zip(one, other, strict=False))


def difference(members: Sequence[Sequence[int]]) -> float:
    """The mean share of decisions in which two members differ; 0 for fewer than two."""
    n = len(members)
    if n < 2:
        return 0.0
    counts = [Counter(options).values() for options in zip(*members, strict=False)]
    alike = [sum(c * (c - 1) for c in count) / (n * (n - 1)) for count in counts]
    return 1 - sum(alike) / len(alike)
