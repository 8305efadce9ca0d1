"""How diverse what the controller proposes is, and whether it is new."""

from __future__ import annotations

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from nas_lightning.analysis.diversity import (
    collapse,
    decision_entropies,
    diversity,
    effective_policy,
    novelty,
    revisit_rate,
)
from nas_lightning.callbacks.analysis import Analysis, own_sample, write_table
from nas_lightning.errors import require_number, require_whole
from nas_lightning.search import ArchitectureSearch


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

    def __init__(
        self, *, every_epochs: int, architectures: int, top: int, min_unique_fraction: float
    ) -> None:
        super().__init__(every_epochs=every_epochs)
        require_whole("architectures", architectures, at_least=2)
        require_whole("top", top, at_least=1)
        require_number("min_unique_fraction", min_unique_fraction, at_least=0, at_most=1)
        self.architectures = architectures
        self.top = top
        self.min_unique_fraction = min_unique_fraction
        self._warned = False
        self._ledger = LedgerReader()

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        own = own_sample(search, self.architectures)
        log_probs = search.controller.evaluate(own).log_probs
        numbers = {
            **diversity(search.space, own),
            "effective_policy": effective_policy(log_probs),
        }
        self._ledger.read(search.ledger.path, length=search.ledger.sync())
        known = self._ledger.known(decisions=own.shape[1])
        if known:
            best = sorted(known, key=known.__getitem__, reverse=True)[: self.top]
            numbers["revisit_rate"] = revisit_rate(own, own.new_tensor(list(known)))
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
        found = collapse(own, min_unique_fraction=self.min_unique_fraction)
        if found.collapsed and search.controller.learns and not self._warned:
            print(f"warning: {found.message}", file=sys.stderr)
            self._warned = True


class LedgerReader:
    """Reads what a ledger has gained since the last time, so that looking stays cheap."""

    def __init__(self) -> None:
        self._read = 0
        self._rewards: dict[tuple[int, ...], float] = {}

    def read(self, path: Path, *, length: int) -> None:
        """Read on, up to `length` bytes."""
        with path.open("rb") as file:
            file.seek(self._read)
            for line in file.read(length - self._read).splitlines():
                row = json.loads(line)
                actions = tuple(row["actions"])
                self._rewards[actions] = max(row["reward"], self._rewards.get(actions, -math.inf))
        self._read = length

    def known(self, *, decisions: int) -> dict[tuple[int, ...], float]:
        """The best reward of every architecture judged that has so many decisions."""
        return {a: reward for a, reward in self._rewards.items() if len(a) == decisions}
