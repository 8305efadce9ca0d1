"""Work on several processors at once, by forks of this process.

A fork is a copy of the process as it is at that moment. Nothing that stays the same has to be sent
to it, and what it computes is what this process computes with one thread, to the last bit. To make
one takes some 20 milliseconds, so forks are kept as long as what they hold stays the same. Where a
process cannot be forked safely, on other systems than Linux, all is done in this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import io
import os
import pickle
import signal
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Any, Generic, TypeVar

import torch
from torch import Tensor

Fork = tuple[int, Connection]
"""A process, and the connection to it."""

Job = TypeVar("Job")
Item = TypeVar("Item")
Found = TypeVar("Found")

BYTES = 2
"""Of an item's number, as it is handed out."""

END = 2 ** (8 * BYTES) - 1
"""In a number's place: there are no more."""

MOST = 1_900
"""Items that are handed out at once: a pipe may hold no more than 4 kB."""

PATIENCE = 60.0
"""Seconds that a fork is waited for at least; and three times what this process has worked."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent ends."""


_streams: list[Any] = []
"""Of a fork: its parent's."""


class Forks(Generic[Job, Item, Found]):
    """This process and forks of it, which share out work among themselves.

    Who is free takes the next item, so one that is held up by what else runs holds up nobody for
    longer than an item takes. What a fork does not come back with, whatever has become of it, is
    computed here.

    Args:
        function: Of a job and an item. What it reads beside these must stay as it is until `close`,
            what it changes is lost, what it returns can be pickled, and it waits for no other
            thread, of which a fork has none.
    """

    def __init__(self, function: Callable[[Job, Item], Found]) -> None:
        self._function = function
        self._forks: list[Fork] = []
        self._queue: tuple[int, int] | None = None
        self._lost = False

    def __reduce__(self) -> tuple[Any, ...]:
        """A copy has forks of its own."""
        return Forks, (self._function,)

    def __call__(self, job: Job, items: Sequence[Item], *, processes: int) -> list[Found]:
        """`function` of the job and each item, in their order.

        Args:
            job: What all items have in common.
            items: What is shared out.
            processes: How many work at most, this one included. With fewer items than torch has
                threads these are worth more.
        """
        threads = torch.get_num_threads()
        working = min(processes, len(items))
        if working < 2 or len(items) < threads or sys.platform != "linux":
            return [self._function(job, item) for item in items]
        if len(items) > MOST:
            parts = items[:MOST], items[MOST:]
            return [found for part in parts for found in self(job, part, processes=processes)]
        torch.set_num_threads(1)  # a fork has none of the others, and would wait for them forever
        try:
            self._begin(working - 1)
            return self._shared_out(job, items)
        except BaseException:
            self.close()
            raise
        finally:
            torch.set_num_threads(threads)

    def close(self) -> None:
        """Let the forks go; there are others at the next call."""
        while self._forks:
            process, connection = self._forks.pop()
            connection.close()
            with contextlib.suppress(ProcessLookupError, ChildProcessError):
                os.kill(process, signal.SIGKILL)
                os.waitpid(process, 0)
        queue, self._queue = self._queue, None
        for end in queue or ():
            os.close(end)

    def _begin(self, helpers: int) -> None:
        """Make the forks that are missing."""
        if self._queue is None:
            self._queue = os.pipe()
        with contextlib.suppress(OSError):  # where there may be no more processes, or no memory
            while len(self._forks) < helpers:
                self._fork(self._queue[0])

    def _shared_out(self, job: Job, items: Sequence[Item]) -> list[Found]:
        assert self._queue is not None
        todo, numbers = self._queue
        message, lost = pickled((job, items)), False
        for _, connection in self._forks:
            try:
                connection.send_bytes(message)
            except OSError:
                lost = True
        handed = [*range(len(items)), *[END] * (1 + len(self._forks))]
        os.write(numbers, b"".join(number.to_bytes(BYTES, "big") for number in handed))
        began = time.monotonic()
        found = self._taken(todo, job, items)
        patience = max(PATIENCE, 3 * (time.monotonic() - began))
        for _, connection in self._forks:
            try:
                if not connection.poll(patience):
                    raise TimeoutError
                found |= pickle.loads(connection.recv_bytes())
            except (OSError, EOFError):
                lost = True
        if lost:
            self._say_lost()
        return [
            found[n] if n in found else self._function(job, item) for n, item in enumerate(items)
        ]

    def _say_lost(self) -> None:
        """Say once that forks do not come back, and let all go: they share what is handed out."""
        if not self._lost:
            print(
                "warning: a process that judges beside this one has died or hangs, perhaps for "
                "want of memory; its work is done here (threads=1 does without)",
                file=sys.stderr,
            )
        self._lost = True
        self.close()

    def _taken(self, todo: int, job: Job, items: Sequence[Item]) -> dict[int, Found]:
        """What this process finds, of the items that it is the first to take."""
        numbers = iter(lambda: int.from_bytes(os.read(todo, BYTES), "big"), END)
        return {number: self._function(job, items[number]) for number in numbers}

    def _fork(self, todo: int) -> None:
        """Make a fork that waits for work."""
        here, there = Pipe()
        parent = os.getpid()
        # None comes before the fork has handlers of its own: the parent's would act for the parent.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, [])
        try:
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            with warnings.catch_warnings():
                # Python warns where there are threads: a fork could wait for what they hold. This
                # one computes, and calls nothing of theirs.
                warnings.simplefilter("ignore", DeprecationWarning)
                process = os.fork()
            if process == 0:
                try:
                    _prepare(parent, {there.fileno(), todo})
                    signal.pthread_sigmask(signal.SIG_SETMASK, before)
                    while True:
                        job, items = pickle.loads(there.recv_bytes())
                        there.send_bytes(pickled(self._taken(todo, job, items)))
                finally:
                    os._exit(0)
            self._forks.append((process, here))
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            there.close()


def _prepare(parent: int, files: set[int]) -> None:
    """Make a fork out of what is a copy of its parent.

    Args:
        parent: Its process; the fork is killed when it ends, however it does.
        files: Those that are the fork's own. All others, a lock among them, are its parent's.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        os._exit(0)
    for number in signal.valid_signals():
        if callable(signal.getsignal(number)):  # the parent decides what is done then
            signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # A progress bar's streams have a lock. They stay, or what they hold would be written again.
    _streams.extend((sys.stdout, sys.stderr))
    sys.stdout, sys.stderr = sys.__stdout__, sys.__stderr__
    for name in os.listdir("/proc/self/fd"):
        if int(name) > 2 and int(name) not in files:
            with contextlib.suppress(OSError):  # that of the listing itself
                os.close(int(name))
    gc.freeze()  # it would write to all the memory that is common until then


def pickled(value: object) -> bytes:
    """As bytes; a tensor takes no more of its storage along than is its own."""
    stream = io.BytesIO()
    _Pickler(stream, pickle.HIGHEST_PROTOCOL).dump(value)
    return stream.getvalue()


class _Pickler(pickle.Pickler):
    """Takes tensors as NumPy's arrays; torch writes a file for each, eight times as slow."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is not Tensor:
            return NotImplemented
        try:
            array = value.numpy()
        except (TypeError, RuntimeError):  # of bfloat16, or on another device, or with a gradient
            return value.clone().__reduce_ex__(pickle.HIGHEST_PROTOCOL)
        return torch.from_numpy, (array,)
