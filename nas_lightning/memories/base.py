"""The contract of a memory: a second, self-supervised loss that makes a controller remember.

The policy gradient rewards decisions, and nothing asks that the controller's state tells one
architecture from another. A memory adds such a loss to every controller step, on architectures it
has stored or draws itself.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, OnProcessor, Policy
from nas_lightning.errors import NotAllowedError, Remedy, UnfitError, require_whole


class Memory(OnProcessor, ABC):
    """A self-supervised loss of the controller.

    It stays on the processor, as the controller does, whose optimizer its parameters join; what it
    holds is in the checkpoint. Epochs are counted from 0, like the axis `epoch` of the metrics:
    from epoch 5 means after five epochs.

    Attributes:
        weight: What the loss is multiplied by before it is added to the controller's.
    """

    weight: float = 1.0

    @property
    def stored(self) -> int:
        """How many architectures it holds."""
        return 0

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw anew all that is random in the memory, and forget what it holds."""

    def begin_epoch(self, controller: Controller, epoch: int, generator: torch.Generator) -> None:
        """Store what the schedule says, or learn alone; before an epoch's first controller step."""

    @abstractmethod
    def loss(self, controller: Controller, epoch: int, generator: torch.Generator) -> Tensor | None:
        """The loss at one controller step, without its weight, a scalar; None before its onset.

        Args:
            controller: As it is now; the loss has a gradient by its parameters.
            epoch: Counted from 0.
            generator: A generator on the CPU, for all that is drawn.
        """


def trained_policy(controller: Controller) -> Policy:
    """The policy that shall remember.

    Raises:
        ValueError: Unless the controller trains one by a loss, to which another can be added.
    """
    policy = controller.as_policy
    if policy is None or not controller.learns or controller.make_optimizer is None:
        raise UnfitError("needs a controller that trains a policy", Remedy.TRAINED_POLICY)
    return policy


def require_states(policy: Policy) -> int:
    """The width of the policy's hidden states; raises ValueError if it has none."""
    if policy.state_size is None:
        raise UnfitError("needs a controller with hidden states", Remedy.HIDDEN_STATES)
    return policy.state_size


def require_onset(recall_from: object, max_epochs: int) -> None:
    """Raise ValueError unless the loss begins within a run of so many epochs."""
    require_whole("recall_from", recall_from, at_least=0)
    if isinstance(recall_from, int) and recall_from >= max_epochs:
        raise NotAllowedError(
            "recall_from",
            recall_from,
            f"the run ends after {max_epochs} epochs, so the loss would never begin; must be a "
            f"whole number < {max_epochs}",
            Remedy.MORE_EPOCHS,
        )
