"""Work on several processors at once, by forks of this process.

A fork is a copy of the process as it is at that moment. Nothing that stays the same has to be sent
to it, and what it computes is to the last bit what this process would compute. To make one takes
some 20 milliseconds, so forks are kept as long as what they hold stays the same. Where a process
cannot be forked safely, on other systems than Linux, all is done in this one.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import itertools
import os
import pickle
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection, Pipe
from typing import Generic, TypeVar

import torch

Fork = tuple[int, Connection]
"""A process, and the connection to it."""

Job = TypeVar("Job")
Item = TypeVar("Item")
Found = TypeVar("Found")

BYTES = 2
"""Of an item's number, as it is handed out."""

END = 2 ** (8 * BYTES) - 1
"""In a number's place: there are no more."""

MOST = 2**14
"""Items that are handed out at once: a pipe holds 64 kB."""

PR_SET_PDEATHSIG = 1
"""Of prctl(2): the signal that a process gets when its parent ends."""


class Forks(Generic[Job, Item, Found]):
    """This process and forks of it, which share out work among themselves.

    Who is free takes the next item, so one that is held up by what else runs holds up nobody for
    longer than an item takes. What a fork does not come back with, whatever has become of it, is
    computed here.

    Args:
        function: Of a job and an item. What it reads beside these must stay as it is until `close`,
            what it changes is lost, and what it returns can be pickled.
    """

    def __init__(self, function: Callable[[Job, Item], Found]) -> None:
        self._function = function
        self._forks: list[Fork] = []
        self._queue: tuple[int, int] | None = None

    def __call__(self, job: Job, items: Sequence[Item], *, processes: int) -> list[Found]:
        """`function` of the job and each item, in their order.

        Args:
            job: What all items have in common.
            items: What is shared out.
            processes: How many work, this one included, if there are no forks yet.
        """
        if processes < 2 or len(items) < 2 or sys.platform != "linux":
            return [self._function(job, item) for item in items]
        if len(items) > MOST:
            parts = items[:MOST], items[MOST:]
            return [found for part in parts for found in self(job, part, processes=processes)]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # a fork has none of the others, and would wait for them forever
        try:
            self._begin(processes - 1)
            return self._shared_out(job, items)
        except BaseException:
            self.close()
            raise
        finally:
            torch.set_num_threads(threads)

    def close(self) -> None:
        """Let the forks go; there are others at the next call."""
        for process, connection in self._forks:
            connection.close()
            os.kill(process, signal.SIGKILL)
            os.waitpid(process, 0)
        if self._queue is not None:
            for end in self._queue:
                os.close(end)
        self._forks, self._queue = [], None

    def _begin(self, helpers: int) -> None:
        """Make the forks, if there are none."""
        if self._queue is not None:
            return
        self._queue = os.pipe()
        with contextlib.suppress(OSError):  # where there may be no more processes, or no memory
            for _ in range(helpers):
                self._forks.append(self._forked(self._queue[0]))

    def _shared_out(self, job: Job, items: Sequence[Item]) -> list[Found]:
        assert self._queue is not None
        todo, numbers = self._queue
        handed = [*range(len(items)), *[END] * (1 + len(self._forks))]
        os.write(numbers, b"".join(number.to_bytes(BYTES, "big") for number in handed))
        message, lost = pickle.dumps((job, items)), False
        for _, connection in self._forks:
            try:
                connection.send_bytes(message)
            except OSError:
                lost = True
        found = self._taken(todo, job, items)
        for _, connection in self._forks:
            try:
                found |= pickle.loads(connection.recv_bytes())
            except (OSError, EOFError):
                lost = True
        if lost:
            self.close()
        return [
            found[n] if n in found else self._function(job, item) for n, item in enumerate(items)
        ]

    def _taken(self, todo: int, job: Job, items: Sequence[Item]) -> dict[int, Found]:
        """What this process finds, of the items that it is the first to take."""
        numbers = iter(lambda: int.from_bytes(os.read(todo, BYTES), "big"), END)
        return {number: self._function(job, items[number]) for number in numbers}

    def _forked(self, todo: int) -> Fork:
        """A fork that waits for work, and the connection to it."""
        here, there = Pipe()
        parent = os.getpid()
        with warnings.catch_warnings():
            # Python warns where there are threads: a fork could wait for what they hold. This one
            # computes, and calls nothing of theirs.
            warnings.simplefilter("ignore", DeprecationWarning)
            process = os.fork()
        if process > 0:
            there.close()
            return process, here
        try:
            _begin(parent, {there.fileno(), todo})
            while True:
                job, items = pickle.loads(there.recv_bytes())
                there.send_bytes(pickle.dumps(self._taken(todo, job, items)))
        finally:
            os._exit(0)


def _begin(parent: int, files: set[int]) -> None:
    """Make a fork out of what is a copy of its parent.

    Args:
        parent: Its process; the fork is killed when it ends, however it does.
        files: Those that are the fork's own. All others, a lock among them, are its parent's.
    """
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it has ended before
        os._exit(0)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    bounds = [2, *sorted(files), os.sysconf("SC_OPEN_MAX")]
    for low, high in itertools.pairwise(bounds):
        os.closerange(low + 1, high)
    gc.disable()  # it would write to all the memory that is common until then
