"""Whether past decisions can be read off the controller's final state."""

from __future__ import annotations

import copy
from pathlib import Path
from statistics import mean

from torch import Tensor

from nas_lightning.analysis.probes import Probe, probe
from nas_lightning.callbacks.analysis import Analysis, policy_of, uniform_sample, write_table
from nas_lightning.controllers.base import Policy
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import require_whole

FOLDS = 3
"""Of the cross-validation: each fit costs, and 1,300 of 2,000 architectures teach enough."""


class Probes(Analysis):
    """Linear probes of every decision, on uniform architectures that the controller is fed.

    Args:
        every_epochs: Epochs from one look to the next; a look takes seconds. None looks after the
            last alone, beside which the untrained controller stands for the beginning.
        architectures: How many architectures.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    needs_states = True

    def __init__(self, *, every_epochs: int | None, architectures: int) -> None:
        super().__init__(every_epochs=every_epochs)
        require_whole("architectures", architectures, at_least=2 * FOLDS)
        self.architectures = architectures
        self._untrained: dict[int, list[Probe]] = {}

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        architectures = uniform_sample(search, self.architectures)
        found = self._read_off(policy_of(search), architectures)
        if not found:
            return
        beside = self._of_untrained(search, architectures)
        search.record(
            {
                "probes/accuracy": mean(p.balanced_accuracy for p in found),
                "probes/untrained": mean(p.balanced_accuracy for p in beside),
                "probes/chance": mean(p.chance for p in found),
            }
        )
        decisions = search.controller.space.decisions
        write_table(
            folder / "probes.csv",
            [
                {
                    "decision": decisions[p.decision].name,
                    "balanced_accuracy": p.balanced_accuracy,
                    "untrained": before.balanced_accuracy,
                    "chance": p.chance,
                }
                for p, before in zip(found, beside, strict=True)
            ],
        )

    def _of_untrained(self, search: ArchitectureSearch, architectures: Tensor) -> list[Probe]:
        """Of the controller as it was at first: the same at every look, until the space grows."""
        decisions = architectures.shape[1]
        if decisions not in self._untrained:
            untrained = copy.deepcopy(policy_of(search))
            untrained.reset_parameters(search.generators.constant("untrained"))
            self._untrained[decisions] = self._read_off(untrained, architectures)
        return self._untrained[decisions]

    def _read_off(self, policy: Policy, architectures: Tensor) -> list[Probe]:
        """Probes of a policy's final states; none if it has no states."""
        states = policy.final_states(architectures)
        return [] if states is None else probe(states, architectures, folds=FOLDS)
