"""No memory."""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.controllers.base import Controller
from nas_lightning.memories.base import Memory


class NoMemory(Memory):
    """Stores nothing and adds nothing."""

    def loss(self, controller: Controller, epoch: int, generator: torch.Generator) -> Tensor | None:
        """No loss."""
        return None
