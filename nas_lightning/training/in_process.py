"""Children trained in the process that searches: for what cannot be sent to another one."""

from __future__ import annotations

from concurrent.futures import Future

import torch

from nas_lightning.training.child_training import ChildResult
from nas_lightning.training.executors import (
    ChildJob,
    Executor,
    Group,
    attempt,
    known_device,
)


class InProcessExecutor(Executor):
    """Trains one group after the other, where it is called; nothing can stop one that hangs.

    Args:
        device: Where children are trained: `cpu`, or a GPU, `cuda`.

    Raises:
        ValueError: If there is no such device.
    """

    def __init__(self, *, device: str) -> None:
        super().__init__(child_timeout=None)
        self.device = known_device(device)

    def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
        """Train a group at once; see the base class."""
        future: Future[list[ChildResult]] = Future()
        with torch.enable_grad():  # which is off where a search only judges
            future.set_result(attempt(job, group, self.device))
        return future

    def close(self) -> None:
        """Nothing is held."""
