"""How a user's own module is made: found by its name, built from a seed, or copied and reset."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from nas_lightning.errors import (
    NotAllowedError,
    Remedy,
    raised,
    require,
    require_bool,
    require_callable,
)


@contextmanager
def seeded(seed: int, device: torch.device | str = "cpu") -> Iterator[None]:
    """Within it torch's global generators of the CPU and of the device start from the seed.

    What a user's modules draw, weights and dropout, comes from there; afterwards the generators are
    as they were.
    """
    device = torch.device(device)
    cuda = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda):
        torch.default_generator.manual_seed(seed)
        for one in cuda:
            with torch.cuda.device(one):
                torch.cuda.manual_seed(seed)
        yield


class Recipe:
    """Makes a user's model, each time with weights that follow from a seed, or with its own.

    Args:
        model: A class or function that makes the model, itself or its dotted name; or a model, each
            of whose modules that have parameters can draw them anew by `reset_parameters`.
        arguments: What the class or function is called with; None for nothing.
        pretrained: Whether a model that is made already keeps its weights, so that every training
            begins with them. What a class or a function loads is its own affair, and stays.

    Raises:
        ValueError: If no model can come of it.
    """

    def __init__(
        self,
        model: str | Callable[..., nn.Module] | nn.Module,
        arguments: Mapping[str, Any] | None,
        *,
        pretrained: bool,
    ) -> None:
        require_bool("pretrained", pretrained)
        good = arguments is None or isinstance(arguments, Mapping)
        require(good, "arguments", arguments, "names and values: {width: 32}")
        self.model = model
        self.pretrained = pretrained
        self.arguments = dict(arguments or {})
        if isinstance(model, nn.Module):
            require(not arguments, "arguments", arguments, "empty for a model that is made already")
            for module in model.modules():
                own = list(module.parameters(recurse=False))
                if own and not pretrained and not hasattr(module, "reset_parameters"):
                    raise NotAllowedError(
                        "model",
                        type(model).__name__,
                        f"its {type(module).__name__} has parameters and no reset_parameters, so "
                        "that they cannot be drawn anew; give one, or give the class instead of "
                        "the model, and its arguments",
                        Remedy.KEPT_WEIGHTS,
                    )
        else:
            require_callable("model", model)

    @property
    def name(self) -> str:
        """What it is called, for messages."""
        if isinstance(self.model, str):
            return self.model
        return getattr(self.model, "__name__", type(self.model).__name__)

    def build(self, seed: int) -> nn.Module:
        """A new model.

        Raises:
            ValueError: If it cannot be built or copied.
        """
        with seeded(seed):
            if isinstance(self.model, nn.Module):
                return self._copied(self.model)
            make = require_callable("model", self.model)
            try:
                built = make(**self.arguments)
            except Exception as error:  # whatever a user's code may raise
                raise self._refused("built", error) from error
        if not isinstance(built, nn.Module):
            what = f"it gives a {type(built).__name__}: must be a torch.nn.Module"
            raise NotAllowedError("model", self.name, what)
        return built

    def _copied(self, model: nn.Module) -> nn.Module:
        """A copy, with weights drawn anew unless they are kept."""
        try:
            copied = copy.deepcopy(model)
        except Exception as error:  # whatever a user's module holds
            raise self._refused("copied", error) from error
        for module in () if self.pretrained else copied.modules():
            reset = getattr(module, "reset_parameters", None)
            if callable(reset):
                reset()
        return copied

    def _refused(self, done: str, error: Exception) -> NotAllowedError:
        why = f"it cannot be {done} ({raised(error)})"
        return NotAllowedError("model", self.name, why)
