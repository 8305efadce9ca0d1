"""One decision of an architecture is changed, also where that closes what others have chosen."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from nas_lightning.search_spaces.base import SearchSpace


def mutated(space: SearchSpace, architectures: Tensor, generator: torch.Generator) -> Tensor:
    """Architectures `(M, T)` with one decision changed each; see `SearchSpace.mutate`."""
    if space.size == 1:
        raise ValueError("it has one architecture only, so none can be changed into another")
    parents = architectures.cpu()
    open_ = torch.tensor(space.num_choices).expand(parents.shape)
    if space.masked:
        prefixes = [parents[:, :t] for t in range(parents.shape[1])]
        open_ = torch.stack([space.open_options(p).sum(dim=1) for p in prefixes], dim=1)
    changed = torch.multinomial((open_ > 1).float(), 1, generator=generator)
    children = parents[:, :0]
    for t in range(parents.shape[1]):
        weights, old = space.weights(children), parents[:, t : t + 1]
        kept = torch.zeros_like(weights).scatter(1, old, 1.0)
        other = (weights > 0).to(weights).scatter(1, old, 0.0)
        unchanged = torch.where(weights.gather(1, old) > 0, kept, weights)
        weights = torch.where(changed == t, other, unchanged)
        drawn = torch.multinomial(weights, 1, generator=generator)
        children = torch.cat([children, drawn], dim=1)
    return children.to(architectures.device)
