"""A training step on a GPU as a CUDA graph: launched whole instead of operation by operation.

A small child's step consists of thousands of operations, each of which takes the processor longer
to launch than the GPU to do. As the child stays the same, so do they, and CUDA can be given all of
them at once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

Step = Callable[[Tensor, Tensor, Tensor | None], Tensor | None]
"""Leaves gradients at the parameters: of inputs, targets and a state; returns the next state."""

Signature = tuple[tuple[torch.Size, torch.dtype] | None, ...]

EAGER = 3
"""Steps that run as they are, before one is captured: libraries choose and allocate in the first
ones. They train like all others."""


class Captured:
    """A step that is captured once it has run a few times, for each form of its arguments.

    Args:
        step: Does nothing that has to be waited for, and the same operations at every call.
        parameters: Where it leaves gradients.
        generator: Where it draws from; a replay draws on.
    """

    def __init__(
        self, step: Step, parameters: Sequence[nn.Parameter], generator: torch.Generator
    ) -> None:
        self.step = step
        self.parameters = parameters
        self.generator = generator
        self._stream = torch.cuda.Stream(generator.device)
        self._taken: dict[Signature, int] = {}
        self._graphs: dict[Signature, _Graph] = {}

    def __call__(self, inputs: Tensor, targets: Tensor, state: Tensor | None) -> Tensor | None:
        """Take the step; what it returns is overwritten by the next one."""
        given = inputs, targets, state
        form = tuple(None if one is None else (one.shape, one.dtype) for one in given)
        if form in self._graphs:
            return self._graphs[form](given)
        self._taken[form] = self._taken.get(form, 0) + 1
        current = torch.cuda.current_stream()
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            if self._taken[form] <= EAGER:
                found = self.step(*given)
            else:
                self._graphs[form] = _Graph(self, given)
                found = self._graphs[form](given)
        current.wait_stream(self._stream)
        return found


class _Graph:
    """One form of it.

    Args:
        of: What is captured.
        given: Arguments of this form; the step is not taken yet.
    """

    def __init__(self, of: Captured, given: Sequence[Tensor | None]) -> None:
        self._given = [None if one is None else one.clone() for one in given]
        self._parameters = of.parameters
        self._graph = torch.cuda.CUDAGraph()
        self._graph.register_generator_state(of.generator)
        with torch.cuda.graph(self._graph, stream=torch.cuda.current_stream()):
            inputs, targets, state = self._given
            assert inputs is not None
            assert targets is not None
            self._found = of.step(inputs, targets, state)
        self._gradients = [parameter.grad for parameter in of.parameters]

    def __call__(self, given: Sequence[Tensor | None]) -> Tensor | None:
        """Take the step."""
        for place, one in zip(self._given, given, strict=True):
            if place is not None and one is not None:
                place.copy_(one, non_blocking=True)
        self._graph.replay()
        for parameter, gradient in zip(self._parameters, self._gradients, strict=True):
            parameter.grad = gradient
        return self._found
