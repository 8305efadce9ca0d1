"""Where children are trained: the contract, and worker processes of this machine.

A worker gets the data and the settings once, and then architectures. Whatever happens to a child
(it raises, runs too long, its worker dies) becomes its result's status; the search goes on.
"""

from __future__ import annotations

import math
import multiprocessing
import os
import pickle
import tempfile
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from concurrent.futures import TimeoutError as OverTime
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from multiprocessing.connection import wait as wait_for
from typing import Literal

import torch
from joblib import cpu_count
from pebble import ProcessExpired, ProcessPool

from nas_lightning.data.base import Data
from nas_lightning.errors import (
    Remedy,
    UserError,
    raised,
    require_number,
    require_one_of,
    require_whole,
)
from nas_lightning.runs.stopping import stop_if_asked
from nas_lightning.search_spaces.child import ChildNetwork
from nas_lightning.training.child_training import ChildResult, ChildTraining

Actions = tuple[int, ...]
Group = Sequence[Actions]
Report = Callable[[Actions, ChildResult], None]

LOOK_SECONDS = 5.0
"""After how long without a result we look whether one can still come."""

# Not this package: the server would not know which of two copies is used.
multiprocessing.set_forkserver_preload(["networkx", "pebble", "torch"])

SOCKET = "/pymp-12345678/listener-12345678"
"""How the name of the fork server's socket goes on after the temporary folder."""

LONGEST_SOCKET = 107
"""Bytes in the name of a socket on Linux."""


@dataclass(frozen=True)
class ChildJob:
    """All that the training of any child needs, beside its architecture; goes to every worker."""

    child: ChildNetwork
    data: Data
    training: ChildTraining
    seed: int
    device: str = "cpu"

    def to(self, device: str) -> ChildJob:
        """The same job, its data on a device, where the children are trained then."""
        if device == self.device:
            return self
        return replace(self, data=self.data.to(device), device=device)

    def train(self, group: Group) -> list[ChildResult]:
        """Train a group of architectures side by side."""
        return self.training.train(
            self.child, self.data, torch.tensor(group), self.seed, self.device
        )


class Executor(ABC):
    """Trains groups of children, as many at a time as there is room for.

    Args:
        child_timeout: Seconds that a group of children may take; None for no limit.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    died: tuple[type[BaseException], ...] = ()
    """The exceptions that mean: not the child failed, but the process it was trained in."""

    start_seconds: float = math.inf
    """After how long without a running group all that wait are given out anew."""

    def __init__(self, *, child_timeout: float | None) -> None:
        if child_timeout is not None:
            require_number("child_timeout", child_timeout, above=0)
        self.child_timeout = child_timeout

    @abstractmethod
    def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
        """Have a group trained.

        Args:
            job: What all children have in common; the same object in every call.
            group: Architectures that are trained side by side.
        """

    @abstractmethod
    def close(self) -> None:
        """Let the workers go."""

    def run(
        self, job: ChildJob, groups: Sequence[Group], report: Report
    ) -> dict[Actions, ChildResult]:
        """Train all groups; one whose process dies is tried once more.

        Args:
            job: What all children have in common.
            groups: What to train.
            report: Called with every child's result the moment it is there.

        Returns:
            The results of all children.

        Raises:
            UserError: If no more results can come.
        """
        self._refuse_lost()
        results: dict[Actions, ChildResult] = {}
        waiting = {self.submit(job, group): (group, 1) for group in groups}
        progress = time.monotonic()
        try:
            while waiting:
                done, _ = wait(waiting, LOOK_SECONDS, return_when=FIRST_COMPLETED)
                if done or any(future.running() for future in waiting):
                    progress = time.monotonic()
                if not done:
                    self._refuse_lost()
                    if time.monotonic() - progress > self.start_seconds:
                        self.close()  # a worker has died with a group that it had not begun
                        waiting = {
                            self.submit(job, group): (group, n) for group, n in waiting.values()
                        }
                        progress = time.monotonic()
                for future in sorted(done, key=_has_failed):  # what has come is kept first
                    group, attempt = waiting.pop(future)
                    error = future.exception()
                    if error is not None:
                        self._refuse_lost()
                    if isinstance(error, self.died) and attempt < self._tries(error):
                        waiting[self.submit(job, group)] = (group, attempt + 1)
                        continue
                    found = future.result() if error is None else self._failed(error, group)
                    for actions, result in zip(group, found, strict=True):
                        results[actions] = result
                        report(actions, result)
        finally:
            for future in waiting:
                future.cancel()
        return results

    def lost(self) -> str | None:
        """What the workers belong to has gone: a line that says so, and the way on; else None."""
        return None

    def _refuse_lost(self) -> None:
        """Raise UserError if not only a worker, but all that it belongs to has gone."""
        reason = self.lost()
        if reason is not None:
            raise UserError(reason)

    def _tries(self, error: BaseException) -> int:
        """How often a group is tried that has ended like this."""
        return 2

    def _failed(self, error: BaseException, group: Group) -> list[ChildResult]:
        """The results of children whose worker has given none."""
        return failed(group, "worker died" if isinstance(error, self.died) else reason(error))


def _has_failed(future: Future[list[ChildResult]]) -> bool:
    return future.exception() is not None


def attempt(job: ChildJob, group: Group, device: str) -> list[ChildResult]:
    """Train a group in a worker, on a device.

    What it raises becomes its status there already: not every exception can be sent to another
    process, and each executor would make something else of those.
    """
    try:
        return job.to(device).train(group)
    except Exception as error:
        stop_if_asked()  # it would be on record as the child's
        return failed(group, reason(error))


def reason(error: BaseException) -> str:
    """The status of children whose training ended with an exception."""
    if isinstance(error, OverTime):
        return "timeout"
    if isinstance(error, MemoryError) or "out of memory" in str(error):
        return "out of memory"
    return raised(error)


def failed(group: Group, status: str) -> list[ChildResult]:
    """The results of children that came to nothing."""
    return [ChildResult(status=status, history={}) for _ in group]


class LocalExecutor(Executor):
    """Worker processes on this machine, one CPU thread each.

    They are started at the first use, each as a fork of a server that has imported the libraries
    once, and end when their parent does, however it ends.

    Args:
        workers: How many; None for as many as there are cores.
        devices: Where children are trained: `cpu`, `cuda` for all GPUs, one of them (`cuda:0`), or
            a list. Of several each group of children takes the next one; workers share them.
        child_timeout: Seconds that a group of children may take; None for no limit.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    died = (ProcessExpired, BrokenProcessPool)
    start_seconds = 60.0

    def __init__(
        self, *, workers: int | None, devices: str | Sequence[str], child_timeout: float | None
    ) -> None:
        super().__init__(child_timeout=child_timeout)
        if workers is not None:
            require_whole("workers", workers, at_least=1)
        self.devices = chosen_devices(devices)
        self._submitted = 0
        self.workers = workers or cpu_count()
        self._pool: ProcessPool | None = None

    def submit(self, job: ChildJob, group: Group) -> Future[list[ChildResult]]:
        """Queue a group for the next free worker; see the base class."""
        if self._pool is not None and not self._pool.active:
            self.close()  # its workers died while they had nothing to do, and it has given up
        if self._pool is None:
            if multiprocessing.get_start_method(allow_none=True) == "loky":
                # Inside a joblib worker; processes started there could not find loky's context.
                multiprocessing.set_start_method("spawn", force=True)
            self._pool = ProcessPool(
                max_workers=self.workers,
                context=multiprocessing.get_context(start_method()),
                initializer=_begin,
                # As bytes: tensors that are shared each take one of a few hundred file descriptors.
                initargs=(packed(job),),
            )
        device = self.devices[self._submitted % len(self.devices)]
        self._submitted += 1
        future: Future[list[ChildResult]] = self._pool.schedule(
            _train, args=(group, device), timeout=self.child_timeout
        )
        return future

    def _tries(self, error: BaseException) -> int:
        """More where a worker died between two groups: it was nothing that they did."""
        return 5 if isinstance(error, BrokenProcessPool) else 2

    def close(self) -> None:
        """Stop the workers at once."""
        if self._pool is not None:
            self._pool.stop()  # type: ignore[no-untyped-call]
            self._pool.join()
            self._pool = None


def packed(job: ChildJob) -> bytes:
    """A job as it is sent to a worker; raises UserError if it cannot be."""
    try:
        return pickle.dumps(job)
    except Exception as error:  # whatever a user's own model holds
        raise UserError(
            f"executor: the child network cannot be sent to worker processes ({raised(error)})",
            Remedy.IN_THIS_PROCESS,
        ) from error


def known_device(device: str, name: str = "device") -> str:
    """The device, if this machine has it; raises ValueError, under the argument's name, if not."""
    available = [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    require_one_of(name, device, ("cpu", *(available and ["cuda"]), *available))
    return device


def chosen_devices(devices: str | Sequence[str]) -> list[str]:
    """The devices by their names; raises ValueError for what is none of this machine's."""
    if devices == "cuda" and torch.cuda.device_count() > 0:
        return [f"cuda:{n}" for n in range(torch.cuda.device_count())]
    chosen = [devices] if isinstance(devices, str) else list(devices)
    if not chosen:
        raise ValueError("devices=[] is not allowed: must name at least one")
    return [known_device(device, "devices") for device in chosen]


def start_method() -> Literal["forkserver", "spawn"]:
    """How workers are started: forked, where the server's socket can have a name."""
    name = os.fsencode(tempfile.gettempdir() + SOCKET)
    return "forkserver" if len(name) <= LONGEST_SOCKET else "spawn"


_job: ChildJob | None = None
"""What a worker process was started for."""


def _begin(job: bytes) -> None:
    """Prepare a worker process: one thread, and an end when the parent ends."""
    global _job
    _job = pickle.loads(job)
    torch.set_num_threads(1)
    parent = multiprocessing.parent_process()
    if parent is not None:
        threading.Thread(target=_follow, args=(parent.sentinel,), daemon=True).start()


def _follow(sentinel: int) -> None:
    wait_for([sentinel])
    os._exit(1)


def _train(group: Group, device: str) -> list[ChildResult]:
    """Train a group in a worker process."""
    assert _job is not None
    return attempt(_job, group, device)
