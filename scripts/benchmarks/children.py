"""Children trained from scratch: the executor against the plainest loop that is correct.

The plain loop is what one would write first: one process with torch's own threads, a `DataLoader`
over the training images, one child after another. Both train the same architectures with the same
optimizer for the same epochs, and score the validation split after each.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import astuple, dataclass

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, TensorDataset

from benchmarks.timing import Aims, Comparison
from nas_lightning.data.images import ImageData, LabelledImages
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.nas_cnn.plain import ConvolutionalNetwork
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace
from nas_lightning.training.executors import ChildJob, LocalExecutor

Actions = tuple[int, ...]


@dataclass(frozen=True)
class PlainLoop:
    """The baseline: trains convolutional children one after another.

    Attributes:
        job: What is trained, and how.
        space: What an architecture means.
    """

    job: ChildJob
    space: ConvolutionalSpace

    def __call__(self, architectures: list[Actions]) -> list[float]:
        """Validation accuracy of each after its last epoch."""
        return [self._train(actions) for actions in architectures]

    def _train(self, actions: Actions) -> float:
        training, data = self.job.training, self.job.data
        assert isinstance(data, ImageData)
        layers = [astuple(layer) for layer in self.space.layers(actions)]
        network = ConvolutionalNetwork(layers=layers, **data.sizes)
        network.reset_parameters(torch.Generator().manual_seed(0))
        optimizer = torch.optim.SGD(
            network.parameters(),
            lr=training.learning_rate,
            momentum=training.momentum,
            nesterov=training.nesterov,
            weight_decay=training.weight_decay,
        )
        train = _loader(data.train, data.batch_size, shuffle=True)
        validation = _loader(data.validation, data.evaluation_batch_size, shuffle=False)
        accuracy = 0.0
        for _ in range(training.epochs):
            network.train()
            for images, labels in train:
                optimizer.zero_grad()
                loss = F.cross_entropy(network(images), labels)
                torch.autograd.backward(loss)
                optimizer.step()
            network.eval()
            with torch.no_grad():
                right = [
                    (network(images).argmax(dim=1) == labels).sum() for images, labels in validation
                ]
            accuracy = float(torch.stack(right).sum()) / len(data.validation.labels)
        return accuracy


def _loader(
    split: LabelledImages, batch_size: int, *, shuffle: bool
) -> DataLoader[tuple[torch.Tensor, ...]]:
    return DataLoader(TensorDataset(*split), batch_size, shuffle=shuffle, drop_last=shuffle)


@contextmanager
def against_plain_loop(
    job: ChildJob, space: ConvolutionalSpace, *, children: int, aim: float
) -> Iterator[Comparison]:
    """The local executor, as many workers as cores, against the plain loop.

    Args:
        job: What is trained, and how.
        space: Where the architectures are drawn from.
        children: How many are trained at a call.
        aim: The ratio that is aimed at.
    """
    drawn = drawn_from(space, children)
    plain = PlainLoop(job, space)
    with closing(LocalExecutor(workers=None, devices="cpu", child_timeout=None)) as ours:
        yield Comparison(
            aims=Aims(ratio=aim),
            plain=lambda: plain(drawn),
            ours=lambda: ours.run(job, [[actions] for actions in drawn], ignore),
            amount=children,
            unit="children",
        )


@contextmanager
def more_workers(
    job: ChildJob,
    space: SearchSpace,
    *,
    children: int,
    workers: int,
    aims: Aims,
    device: str = "cpu",
) -> Iterator[Comparison]:
    """So many local workers against one; see `against_plain_loop`. On a GPU they share it."""
    groups = [[actions] for actions in drawn_from(space, children)]
    with (
        closing(LocalExecutor(workers=1, devices=device, child_timeout=None)) as one,
        closing(LocalExecutor(workers=workers, devices=device, child_timeout=None)) as more,
    ):
        yield Comparison(
            aims=aims,
            plain=lambda: one.run(job, groups, ignore),
            ours=lambda: more.run(job, groups, ignore),
            amount=children,
            unit="children",
        )


@contextmanager
def side_by_side(job: ChildJob, space: SearchSpace, *, children: int) -> Iterator[Comparison]:
    """Small children trained together in one batch, against one after another, in one thread."""
    drawn = drawn_from(space, children)
    torch.set_num_threads(1)
    yield Comparison(
        aims=Aims(ratio=4),
        plain=lambda: [job.train([actions]) for actions in drawn],
        ours=lambda: job.train(drawn),
        amount=children,
        unit="children",
    )


def drawn_from(space: SearchSpace, n: int) -> list[Actions]:
    """`n` architectures, always the same."""
    drawn = space.sample(n, torch.Generator().manual_seed(0))
    return [tuple(actions) for actions in drawn.tolist()]


def ignore(actions: Actions, result: object) -> None:
    """Results are not wanted here."""
