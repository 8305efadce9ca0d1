"""No memory."""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller, Rollout
from nas_lightning.estimators.base import Evaluation
from nas_lightning.memories.base import Memory


class NoMemory(Memory):
    """Stores nothing and adds nothing."""

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Nothing is random."""

    def store(self, rollout: Rollout, evaluation: Evaluation) -> None:
        """Do nothing."""

    def loss(self, controller: Controller, generator: torch.Generator) -> Tensor | None:
        """No loss."""
        return None
