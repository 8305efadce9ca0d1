"""What networks of a user's own are trained for: classes, numbers, or a loss of the user's."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from nas_lightning.errors import NotAllowedError, raised, require, require_callable
from nas_lightning.metrics import Metric
from nas_lightning.search_spaces.child import ACCURACY, LOSS

MEAN_LOSS = Metric(name=LOSS.name, unit="", direction="less")

Loss = str | Callable[[Any, Tensor], Tensor]


class Task:
    """A loss, and what is measured beside it.

    Args:
        num_classes: Classes of the data; 0 where targets are numbers.
        loss: A function of outputs and targets that gives the mean over a minibatch, or a module's
            class; itself or its dotted name. None for cross-entropy, or the mean squared error
            where targets are numbers.
        metrics: Names of classes of torchmetrics, like `F1Score`; None for none.

    Raises:
        ValueError: If a name is none, or such a metric has no direction.
    """

    def __init__(
        self, *, num_classes: int, loss: Loss | None, metrics: Sequence[str] | None
    ) -> None:
        self.num_classes = num_classes
        self.own_loss = None if loss is None else made_loss(loss)
        good = metrics is None or (isinstance(metrics, (list, tuple)) and len(set(metrics)) > 0)
        require(good or metrics == [], "metrics", metrics, "names of torchmetrics: [F1Score]")
        self._makers = {in_words(name): name for name in metrics or ()}
        known = [LOSS] if num_classes and loss is None else [MEAN_LOSS]
        known += [ACCURACY] if num_classes else []
        self.metrics = (*known, *(self._declared(word) for word in self._makers))

    @property
    def names(self) -> list[str]:
        """The classes of torchmetrics."""
        return list(self._makers.values())

    @property
    def keeps_predictions(self) -> bool:
        """Whether something is measured that takes all predictions together."""
        return bool(self._makers)

    def total_loss(self, outputs: Any, targets: Tensor) -> Tensor:
        """The loss of a minibatch, summed over its examples."""
        if self.own_loss is not None:
            mean: Tensor = self.own_loss(outputs, targets)
            return mean * len(targets)
        if self.num_classes:
            return F.cross_entropy(outputs, targets, reduction="sum")
        error: Tensor = (outputs.reshape(targets.shape) - targets).square()
        return error.flatten(1).mean(dim=1).sum() if error.dim() > 1 else error.sum()

    def correct(self, outputs: Any, targets: Tensor) -> Tensor | None:
        """How many classes are predicted right; None where there are none."""
        return (outputs.argmax(dim=1) == targets).sum() if self.num_classes else None

    def refusal(self, outputs: object, targets: Tensor) -> str | None:
        """What is wrong with the shape of what a network gives; None if nothing is."""
        examples, classes = len(targets), self.num_classes
        shape = tuple(outputs.shape) if isinstance(outputs, Tensor) else type(outputs).__name__
        if classes and shape != (examples, classes):
            wanted = (examples, classes)
            return (
                f"gives {shape} for {examples} examples of {classes} classes, must give "
                f"logits {wanted}"
            )
        if classes == 0 and self.own_loss is None:
            if shape in (tuple(targets.shape), (*targets.shape, 1)):
                return None
            return f"gives {shape} for targets of {tuple(targets.shape)}, must give as many numbers"
        return None

    def measure(self, predictions: Tensor, targets: Tensor) -> dict[str, Tensor]:
        """The metrics of torchmetrics `(M,)` of predictions `(M, N, …)` for targets `(N, …)`."""
        found = {}
        for word in self._makers:
            values = []
            for own in predictions:
                metric = self._made(word).to(own.device)
                metric.update(own if self.num_classes else own.reshape(targets.shape), targets)
                values.append(metric.compute().float())
            found[word] = torch.stack(values)
        return found

    def refused_loss(self, outputs: object, targets: Tensor) -> str | None:
        """Why a loss of the user's own cannot take what a network gives; None if it can."""
        if self.own_loss is None:
            return None
        name = getattr(self.own_loss, "__name__", type(self.own_loss).__name__)
        try:
            loss = self.own_loss(outputs, targets)
        except Exception as error:  # whatever a user's function raises
            return f"gives what {name} cannot take ({raised(error)})"
        if isinstance(loss, Tensor) and loss.dim() == 0:
            return None
        given = tuple(loss.shape) if isinstance(loss, Tensor) else type(loss).__name__
        return f"is given {given} by {name}, which must give one number, a mean"

    def _made(self, word: str) -> Any:
        import torchmetrics

        kind = getattr(torchmetrics, self._makers[word], None)
        if not isinstance(kind, type):
            raise NotAllowedError("metrics", self._makers[word], "torchmetrics has no such class")
        arguments: dict[str, Any] = {}
        if "task" in inspect.signature(kind.__new__).parameters:
            require(self.num_classes > 0, "metrics", self._makers[word], "one for numbers")
            arguments = {"task": "multiclass", "num_classes": self.num_classes}
        try:
            return kind(**arguments)
        except TypeError as error:
            raise NotAllowedError(
                "metrics", self._makers[word], f"it takes arguments of its own ({error})"
            ) from error

    def _declared(self, word: str) -> Metric:
        higher = self._made(word).higher_is_better
        if higher is None:
            raise NotAllowedError("metrics", self._makers[word], "it does not say what is better")
        return Metric(name=word, unit="", direction="more" if higher else "less")


def made_loss(loss: Loss) -> Callable[[Any, Tensor], Tensor]:
    """The function that a name or an object stands for; raises ValueError if there is none."""
    found = require_callable("loss", loss)
    made = isinstance(found, type) and issubclass(found, nn.Module)
    return found() if made else found


def in_words(name: str) -> str:
    """The name of a class as that of a metric: `F1Score` is `f1_score`."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", str(name)).lower()
