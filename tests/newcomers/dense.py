"""A search space of one's own: dense networks for images, each trained from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces import Decision, SearchSpace
from nas_lightning.search_spaces.child import ACCURACY, LOSS, ChildNetwork, ChildScore


class DenseSpace(SearchSpace):
    """The width of every hidden layer."""

    def __init__(self, *, num_layers: int, widths: Sequence[int]) -> None:
        kind = ("width", tuple(widths))
        self._decisions = tuple(Decision(f"layer {i} width", *kind) for i in range(num_layers))

    @property
    def decisions(self) -> tuple[Decision, ...]:
        return self._decisions

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        return tuple(architecture)  # no two vectors are the same network

    def draw(self, architecture: Sequence[int]) -> str:
        return " → ".join(map(str, self.describe(architecture).values()))


class DenseChild(ChildNetwork):
    """One small network for each architecture."""

    shares_weights = False
    metrics = (LOSS, ACCURACY)

    def __init__(self, *, space: SearchSpace, channels: int, image_size: int, num_classes: int):
        super().__init__()
        self.space, self.inputs, self.classes = space, channels * image_size**2, num_classes
        self.networks = nn.ModuleList()

    def sizes(self, architecture: Sequence[int]) -> list[int]:
        return [self.inputs, *map(int, self.space.describe(architecture).values()), self.classes]

    def fresh(self, architectures: Tensor, generators: Sequence[torch.Generator]) -> DenseChild:
        child = DenseChild(space=self.space, channels=1, image_size=1, num_classes=self.classes)
        for actions, generator in zip(architectures.tolist(), generators, strict=True):
            layers: list[nn.Module] = [nn.Flatten()]
            for n, m in pairwise(self.sizes(actions)):
                layer: nn.Linear = nn.utils.skip_init(nn.Linear, n, m)
                nn.init.kaiming_normal_(layer.weight, nonlinearity="relu", generator=generator)
                nn.init.zeros_(layer.bias)
                layers += [layer, nn.ReLU()]
            child.networks.append(nn.Sequential(*layers[:-1]))
        return child

    def clip_gradients(self, limit: float) -> None:
        for network in self.networks:
            nn.utils.clip_grad_norm_(network.parameters(), limit)

    def score(
        self,
        batch: Batch,
        architectures: Tensor,
        state: Tensor | None = None,
        generator: torch.Generator | None = None,
    ) -> ChildScore:
        logits = torch.stack([network(batch.inputs) for network in self.networks])
        losses = [F.cross_entropy(one, batch.targets, reduction="sum") for one in logits]
        correct = (logits.argmax(dim=2) == batch.targets).sum(dim=1)
        return ChildScore(torch.stack(losses), len(batch.targets), correct, None)

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        sizes = self.sizes(architecture)
        return {"parameters": sum((n + 1) * m for n, m in pairwise(sizes))}
