"""The baseline does the work that it is compared for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from benchmarks.children import PlainLoop
from nas_lightning.data.images import ImageData
from nas_lightning.data.sources import ImageSource, ImageSplits
from nas_lightning.search_spaces.nas_cnn.network import ConvolutionalChild
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace
from nas_lightning.training.child_training import ChildTraining
from nas_lightning.training.executors import ChildJob

SPACE = ConvolutionalSpace(
    num_layers=2,
    grow_by=1,
    grow_every=None,
    max_layers=2,
    heights=[1, 3],
    widths=[1, 3],
    filters=[2, 3, 4],
    strides=[1],
)


class Noise(ImageSource):
    """Thirty images of three classes."""

    def read(self) -> ImageSplits:
        pixels = np.random.default_rng(0).integers(0, 256, (30, 4, 4), dtype=np.uint8)
        return ImageSplits(pixels, np.arange(30) % 3)


def steps_of(work: Callable[[], object]) -> list[list[torch.Size]]:
    """The shapes of the weights that were trained, for every optimizer step."""
    steps: list[list[torch.Size]] = []

    def note(optimizer: torch.optim.Optimizer, *_: Any) -> None:
        weights = [w for group in optimizer.param_groups for w in group["params"]]
        steps.append([w.shape for w in weights])

    hook = register_optimizer_step_post_hook(note)
    try:
        work()
    finally:
        hook.remove()
    return steps


def test_the_plain_loop_takes_the_steps_of_the_children() -> None:
    """The same architectures in the same order, 18 images in minibatches of 4 for two epochs."""
    data = ImageData(
        source=Noise(),
        batch_size=4,
        evaluation_batch_size=4,
        validation_size=6,
        split_seed=0,
        train_limit=None,
        pad=0,
        flip=False,
        test_size=6,
    )
    training = ChildTraining(
        epochs=2,
        learning_rate=0.01,
        schedule="constant",
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        gradient_clip=None,
    )
    child = ConvolutionalChild(space=SPACE, **data.sizes)
    job = ChildJob(child=child, data=data, training=training, seed=0)
    drawn: list[tuple[int, ...]] = [(0, 0, 0, 0, 1, 1, 1, 0), (1, 1, 2, 0, 0, 1, 0, 0)]
    accuracies: list[float] = []
    plain = steps_of(lambda: accuracies.extend(PlainLoop(job, SPACE)(drawn)))
    assert plain == steps_of(lambda: [job.train([actions]) for actions in drawn])
    assert len(plain) == 2 * 2 * (18 // 4)
    assert len(accuracies) == 2
    assert all(0 <= value <= 1 and value * 6 == round(value * 6) for value in accuracies)
