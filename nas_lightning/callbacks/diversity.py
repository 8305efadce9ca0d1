"""How diverse what the controller proposes is, and whether it is new."""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch

from nas_lightning.analysis.diversity import (
    collapse,
    decision_entropies,
    diversity,
    effective_policy,
    novelty,
    revisit_rate,
)
from nas_lightning.callbacks.analysis import Analysis, own_rollout, own_sample, write_table
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import require_number, require_whole

Hashes = npt.NDArray[np.int64]

HASHED = (0, 1, 2)
"""A tuple by whose hash one Python knows whether another has hashed like itself."""


class Diversity(Analysis):
    """Unique fraction, effective number of architectures, and how near the ledger's best they are.

    Warns, once, when the controller has collapsed.

    Args:
        every_epochs: Epochs from one look to the next.
        architectures: How many are sampled.
        top: How many of the ledger's best architectures are compared with.
        min_unique_fraction: The controller has collapsed if fewer are unique.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    needs_policy = False

    def __init__(
        self, *, every_epochs: int | None, architectures: int, top: int, min_unique_fraction: float
    ) -> None:
        super().__init__(every_epochs=every_epochs)
        require_whole("architectures", architectures, at_least=2)
        require_whole("top", top, at_least=1)
        require_number("min_unique_fraction", min_unique_fraction, at_least=0, at_most=1)
        self.architectures = architectures
        self.top = top
        self.min_unique_fraction = min_unique_fraction
        self._warned = False
        self._ledger = LedgerReader(top=top)

    def state_dict(self) -> dict[str, Any]:
        """What was read of the ledger, which a resumed run need not read again."""
        return self._ledger.state_dict()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Read on from there."""
        self._ledger.load_state_dict(state_dict)

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        proposal = own_sample(search, self.architectures)
        own = proposal.architectures
        numbers = diversity(search.space, own)
        if search.controller.as_policy is not None:
            numbers["effective_policy"] = effective_policy(own_rollout(search, proposal).log_probs)
        self._ledger.read(search.ledger.path, length=search.ledger.sync())
        best = self._ledger.best(decisions=own.shape[1])
        if best:
            numbers["revisit_rate"] = revisit_rate(own, self._ledger)
            numbers |= asdict(novelty(own, own.new_tensor(best)))
        search.record({f"diversity/{name}": value for name, value in numbers.items()})
        decisions = search.controller.space.decisions
        entropies = decision_entropies(own).tolist()
        write_table(
            folder / "diversity.csv",
            [
                {"decision": decision.name, "entropy": entropy, "largest": math.log(choices)}
                for decision, entropy, choices in zip(
                    decisions, entropies, search.controller.space.num_choices, strict=True
                )
            ],
        )
        found = collapse(
            own,
            possible=search.controller.space.size,
            min_unique_fraction=self.min_unique_fraction,
        )
        if found.collapsed and search.controller.learns and not self._warned:
            print(f"warning: {found.message}", file=sys.stderr)
            self._warned = True


class LedgerReader:
    """Reads what a ledger has gained since the last time, and keeps little of it.

    A search may judge millions: 8 bytes stay of each that is new, by which it is known again, and
    the best.

    Args:
        top: How many of the best are kept, of every number of decisions.
    """

    def __init__(self, *, top: int) -> None:
        self.top = top
        self._read = 0
        self._hashes = np.empty(0, dtype=np.int64)
        self._best: dict[int, dict[tuple[int, ...], float]] = defaultdict(dict)

    def state_dict(self) -> dict[str, Any]:
        """All of it, as tensors and plain types."""
        ranked = [(list(a), r) for best in self._best.values() for a, r in best.items()]
        hashes = torch.from_numpy(self._hashes)
        return {"read": self._read, "hashes": hashes, "best": ranked, "hash": hash(HASHED)}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Read on from there, unless this Python knows tuples by other hashes."""
        if state["hash"] != hash(HASHED):
            return
        self._read, self._hashes = state["read"], state["hashes"].numpy()
        for actions, reward in state["best"]:
            self._best[len(actions)][tuple(actions)] = reward

    def read(self, path: Path, *, length: int) -> None:
        """Read on, up to `length` bytes."""
        with path.open("rb") as file:
            new = np.unique(np.fromiter(self._hashes_up_to(length, file), dtype=np.int64))
        places, known = self._places(new)
        # Sorting all of them anew would take longer at every look.
        self._hashes = np.insert(self._hashes, places[~known], new[~known])

    def __contains__(self, actions: object) -> bool:
        """Whether an architecture was judged; wrong once in 2^64 / N times, N of them judged."""
        return bool(self._places(np.array([hash(actions)]))[1][0])

    def best(self, *, decisions: int) -> list[tuple[int, ...]]:
        """Those with the best rewards among all that have so many decisions."""
        return list(self._best[decisions])

    def _places(self, hashes: Hashes) -> tuple[Hashes, npt.NDArray[np.bool_]]:
        """Where hashes stand among those that are kept, or would, and whether they do."""
        places = np.searchsorted(self._hashes, hashes)
        known = places < len(self._hashes)
        known[known] = self._hashes[places[known]] == hashes[known]
        return places, known

    def _hashes_up_to(self, length: int, file: BinaryIO) -> Iterator[int]:
        """Of the architectures in the rows that were not read yet."""
        file.seek(self._read)
        while self._read < length:
            line = file.readline()
            if not line:
                return
            self._read += len(line)
            try:
                row = json.loads(line)
                actions, reward = tuple(map(int, row["actions"])), row["reward"]
                self._rank(actions, -math.inf if reward is None else float(reward))
            except (ValueError, TypeError, KeyError, RecursionError):
                continue  # a damaged line is left out; the report names it
            yield hash(actions)

    def _rank(self, actions: tuple[int, ...], reward: float) -> None:
        best = self._best[len(actions)]
        best[actions] = max(reward, best.get(actions, -math.inf))
        if len(best) > self.top:
            # The last of the worst: of equals those stay that were judged first.
            del best[min(reversed(best), key=best.__getitem__)]
