"""The child network of a user's own model: one model that computes every architecture."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from nas_lightning.data.base import Batch
from nas_lightning.errors import Remedy, UserError, raised
from nas_lightning.search_spaces import Relaxable, RelaxedLoss
from nas_lightning.search_spaces.choices.networks import OwnNetworks, drawn
from nas_lightning.search_spaces.choices.outline import outline, without_choices
from nas_lightning.search_spaces.choices.parts import Part, choosing, deciding
from nas_lightning.search_spaces.choices.recipe import seeded
from nas_lightning.search_spaces.choices.space import ChoiceSpace
from nas_lightning.search_spaces.choices.table import Row, space_table
from nas_lightning.search_spaces.choices.task import Loss

BATCH_NORM = nn.modules.batchnorm._BatchNorm

LOOK = 8
"""Examples on which a model is looked at before a search."""


class ChoiceChild(OwnNetworks, Relaxable):
    """A user's model with choices, under shared weights or from scratch.

    Args:
        space: The space of the model.
        num_classes: Classes of the data; 0 where targets are numbers.
        loss: See `Task`.
        metrics: See `Task`.

    Raises:
        ValueError: If the model has other choices each time that it is built, or loss or metrics
            cannot be had.
    """

    shares_weights = True
    space: ChoiceSpace

    def __init__(
        self,
        *,
        space: ChoiceSpace,
        num_classes: int,
        loss: Loss | None,
        metrics: Sequence[str] | None,
    ) -> None:
        super().__init__(space=space, num_classes=num_classes, loss=loss, metrics=metrics)
        self.model: nn.Module | None = space.recipe.build(seed=0)
        self._outline = outline(self.model)
        if self._outline.decisions != space.decisions:
            raise ValueError(
                f"{space.recipe.name} has other choices each time that it is built; its choices "
                "must follow from its arguments alone"
            )

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Build the model anew, and take its weights and buffers."""
        if self.model is None:
            raise TypeError("ChoiceChild has no shared weights: these are each architecture's own")
        anew = self.space.recipe.build(drawn(generator))
        with torch.no_grad():
            for own, other in zip(self.model.parameters(), anew.parameters(), strict=True):
                own.copy_(other)
            for kept, started in zip(self.model.buffers(), anew.buffers(), strict=True):
                kept.copy_(started)

    def built(self, architecture: Sequence[int], seed: int) -> nn.Module:
        """The user's model with what is chosen in the place of each choice."""
        model = self.space.recipe.build(seed)
        return without_choices(model, outline(model).chosen(architecture))

    def network(self, architecture: Sequence[int], place: int = 0) -> nn.Module:
        """A copy of the model with what is chosen in the place of each choice."""
        if self.model is None:
            return super().network(architecture, place)
        model = copy.deepcopy(self.model)
        return without_choices(model, outline(model).chosen(architecture)).eval()

    @property
    def averages_statistics(self) -> bool:
        """Whether modules keep averages of training, over all architectures."""
        return self.model is not None and any(map(keeps_averages, self.model.modules()))

    @torch.no_grad()
    def recalibrated(self, architectures: Tensor, batches: Sequence[Batch]) -> ChoiceChild:
        """See the base class: averages of each architecture's own, all minibatches alike."""
        if not self.averages_statistics:
            return self
        child = self.without_weights()
        child.networks.extend(self.network(actions) for actions in architectures.tolist())
        for network in child.networks:
            for module in network.modules():
                if isinstance(module, BATCH_NORM) and module.running_mean is not None:
                    module.reset_running_stats()
                    module.momentum = None  # the plain mean
                    module.train()
            for batch in batches:
                network(batch.inputs)
        return child.eval()

    def without_weights(self) -> ChoiceChild:
        """One of the same settings that has no weights yet."""
        child = ChoiceChild(**self.settings)
        child.model = None
        return child

    @contextmanager
    def as_one(self, number: int, actions: Sequence[int]) -> Iterator[nn.Module]:
        """Within it, what computes one of the architectures."""
        if self.model is None:
            yield self.networks[number]
            return
        with choosing(self._outline.chosen(actions)):
            yield self.model

    def relaxed_loss(
        self,
        batch: Batch,
        weights: Tensor,
        state: Tensor | None,
        generator: torch.Generator | None,
    ) -> RelaxedLoss:
        """The loss of the model whose every part is a mixture; see the base class."""
        if self.model is None:
            raise TypeError("networks with weights of their own cannot be mixed")
        parts = [place.part for place in self._outline.places]
        groups = weights.split(self.space.groups.sizes)
        return self.mixed_loss(self.model, batch, dict(zip(parts, groups, strict=True)), generator)

    def clip_gradients(self, limit: float) -> None:
        """Scale the gradient of the shared weights, or of each network, down to norm `limit`."""
        super().clip_gradients(limit)
        if self.model is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), limit)

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Parameters."""
        return {"parameters": self._outline.count(architecture)}

    def preview(self, batch: Batch, *, shared: bool) -> str:
        """A table of what the space holds; refuses a model that does not fit the data."""
        model = self.space.recipe.build(seed=0)
        inputs = batch.inputs[:LOOK]
        if shared:
            refuse_unequal_shapes(model, inputs)
        table = space_table(model, inputs)
        refusals = [self._refusal(model, row, batch) for row in table.rows]
        if all(refusals):  # one alone would fail alone
            raise UserError(f"model: {self.space.recipe.name} {refusals[0]}")
        return str(table)

    def _refusal(self, model: nn.Module, row: Row, batch: Batch) -> str | None:
        """Why an architecture cannot be trained on such inputs; None if it can."""
        if row.failure is not None:
            return f"cannot compute a minibatch ({row.failure})"
        with seeded(0), torch.no_grad(), deciding(model, row.architecture):
            outputs = model.eval()(batch.inputs[:LOOK])
        targets = batch.targets[:LOOK]
        return self.task.refusal(outputs, targets) or self.task.refused_loss(outputs, targets)


def refuse_unequal_shapes(model: nn.Module, inputs: Tensor) -> None:
    """Raise UserError if the options of a choice give outputs of unequal shapes.

    Args:
        model: A model with choices.
        inputs: A few examples.
    """
    found = outline(model)
    names = {place.part: place.name for place in found.places}

    def compare(part: nn.Module, given: tuple[object, ...]) -> None:
        assert isinstance(part, Part)
        first, *others = [shapes(part, names[part], option, given) for option in range_of(part)]
        for option, shape in zip(part.choices[1:], others, strict=True):
            if shape != first:
                raise UserError(
                    f"model: {names[part]}: option {part.choices[0]} gives {first} "
                    f"and option {option} gives {shape}; weights can be shared only by options "
                    "that give equal shapes",
                    Remedy.FROM_SCRATCH,
                )

    hooks = [place.part.register_forward_pre_hook(compare) for place in found.places]
    try:
        with seeded(0), torch.no_grad(), choosing(found.chosen([0] * len(names))):
            model.eval()(inputs)
    except UserError:
        raise
    except Exception as error:  # whatever a user's module raises
        raise UserError(f"model: it cannot compute a minibatch ({raised(error)})") from error
    finally:
        for hook in hooks:
            hook.remove()


def keeps_averages(module: nn.Module) -> bool:
    """Whether a module keeps averages over the minibatches of training, like a batch norm."""
    return isinstance(module, BATCH_NORM) and module.running_mean is not None


def range_of(part: Part) -> range:
    """The numbers of the options of a part."""
    return range(len(part.choices))


def shapes(part: Part, name: str, option: int, inputs: tuple[object, ...]) -> object:
    """The shapes of what an option gives; raises UserError if it cannot compute."""
    try:
        given = part.compute(option, *inputs)
    except UserError:
        raise  # of a choice within it
    except Exception as error:  # whatever a user's module raises
        raise UserError(
            f"model: {name}: option {part.choices[option]} cannot compute ({raised(error)})"
        ) from error
    return tree_map(lambda one: tuple(one.shape) if isinstance(one, Tensor) else one, given)
