"""The neighbours of an architecture: those that differ from it in one decision."""

from __future__ import annotations

import torch
from torch import Tensor

from nas_lightning.search_spaces.base import SearchSpace


def neighbours_of(space: SearchSpace, architecture: Tensor) -> Tensor:
    """All architectures that differ in one decision, decision by decision, option by option.

    Where other options would close what a later decision has chosen, they are left out.

    Args:
        space: Whose architectures they are.
        architecture: int64 `(1, T)`.

    Returns:
        int64 `(N, T)` on the same device.
    """
    found = []
    for t, choices in enumerate(space.num_choices):
        changed = architecture.repeat(choices, 1)
        changed[:, t] = torch.arange(choices, device=changed.device)
        found.append(changed[changed[:, t] != architecture[0, t]])
    around = torch.cat(found)
    if not space.masked:
        return around
    good = torch.ones(len(around), dtype=torch.bool, device=around.device)
    for t in range(around.shape[1]):
        good &= space.open_options(around[:, :t]).gather(1, around[:, t : t + 1]).squeeze(1)
    return around[good]
