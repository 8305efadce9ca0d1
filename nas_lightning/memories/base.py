"""The contract of a memory: it stores architectures and gives the controller a second loss."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from nas_lightning.controllers.base import Controller, Rollout
from nas_lightning.estimators.base import Evaluation


class Memory(nn.Module, ABC):
    """Past architectures and a self-supervised loss on them.

    Its parameters join the controller's optimizer; what it holds is in the checkpoint.
    """

    @abstractmethod
    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw anew all that is random in the memory before it has stored anything."""

    @abstractmethod
    def store(self, rollout: Rollout, evaluation: Evaluation) -> None:
        """Take note of judged architectures."""

    @abstractmethod
    def loss(self, controller: Controller, generator: torch.Generator) -> Tensor | None:
        """What is added to the controller's loss at one step, a scalar, or None."""
