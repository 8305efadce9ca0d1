"""The stream of an epoch: child or relaxed steps, then controller steps, then one derivation.

Lightning reads it like any train loader. Which data a step sees is a pure function of the seed and
of the step's number, so all that a checkpoint has to hold is two integers.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, NamedTuple

from nas_lightning.data.base import Batch, Data
from nas_lightning.generators import seed_of

Phase = Literal["child", "relaxed", "controller", "derive"]


class PhaseBatch(NamedTuple):
    """What one `training_step` receives.

    Attributes:
        phase: What to do.
        epoch: Counted from 0.
        batches: `child`: one training minibatch. `relaxed`: a training and a validation minibatch;
            both splits are gone through in order. `controller`: one validation minibatch. `derive`:
            the whole validation split. Empty where there is no data.
    """

    phase: Phase
    epoch: int
    batches: tuple[Batch, ...]


class PhaseStream:
    """An epoch of phase-tagged batches, resumable between any two of them.

    Args:
        data: Where batches come from, or None for a search that needs none.
        child_steps: Steps of the child phase.
        controller_steps: Steps of the controller phase.
        seed: Decides which validation minibatch each controller step sees.
        one_minibatch: Whether all controller steps of an epoch see the same one.
        relaxed: Whether relaxed steps take the place of child steps.
    """

    def __init__(
        self,
        data: Data | None,
        *,
        child_steps: int,
        controller_steps: int,
        seed: int,
        one_minibatch: bool = False,
        relaxed: bool = False,
    ) -> None:
        self.data = data
        self.child_steps = child_steps
        self.controller_steps = controller_steps
        self.seed = seed
        self.one_minibatch = one_minibatch
        self.relaxed = relaxed
        self.epoch = -1
        self.position = len(self)

    def __len__(self) -> int:
        """Steps of an epoch."""
        return self.child_steps + self.controller_steps + 1

    def __iter__(self) -> Iterator[PhaseBatch]:
        """Go on in a begun epoch, else begin the next one."""
        if self.position >= len(self):
            self.epoch += 1
            self.position = 0
        while self.position < len(self):
            self.position += 1
            yield self._batch(self.position - 1)

    def state_dict(self) -> dict[str, int]:
        """Where the stream stands."""
        return {"epoch": self.epoch, "position": self.position}

    def load_state_dict(self, state: dict[str, int]) -> None:
        """Go on from where `state_dict` was taken."""
        self.epoch = state["epoch"]
        self.position = state["position"]

    def phase(self, position: int) -> Phase:
        """The phase of the step at a position of the epoch."""
        if position < self.child_steps:
            return "relaxed" if self.relaxed else "child"
        return "controller" if position < len(self) - 1 else "derive"

    def derivation(self) -> PhaseBatch:
        """The last step of the present epoch, whatever comes before it."""
        return PhaseBatch("derive", max(0, self.epoch), self._batches("derive", len(self) - 1))

    def _batch(self, position: int) -> PhaseBatch:
        phase = self.phase(position)
        return PhaseBatch(phase, self.epoch, self._batches(phase, position))

    def _batches(self, phase: Phase, position: int) -> tuple[Batch, ...]:
        if self.data is None:
            return ()
        number = self.epoch * self.child_steps + position
        if phase == "child":
            return (self.data.train_batch(number),)
        validation = self.data.validation_batches()
        if phase == "relaxed":
            return self.data.train_batch(number), validation[number % len(validation)]
        if phase == "derive":
            return tuple(validation)
        # Rewards of different steps are compared: a shorter last minibatch has another scale.
        full = [batch for batch in validation if batch.inputs.shape == validation[0].inputs.shape]
        within = 0 if self.one_minibatch else position - self.child_steps
        step = self.epoch * self.controller_steps + within
        return (full[seed_of(self.seed, "controller step", step) % len(full)],)
