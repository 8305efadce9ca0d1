"""A shell: a process in which commands are called one after the other.

What the first of them imports, parses and composes the others find there, so that a refusal takes
a small part of what it takes in a process of its own. It is for commands that are refused or soon
done, by themselves; they get their own arguments, folder, environment and output, and an exit code.
"""

from __future__ import annotations

import sys
import traceback
import warnings
from multiprocessing.connection import Connection
from multiprocessing.context import ForkServerProcess
from pathlib import Path

from tests.processes import FORKS, Call, Command, Ended, call_of, in_fork, preload


class Shell:
    """Starts its process for the first command, and anew where one has ended it."""

    def __init__(self) -> None:
        self._process: ForkServerProcess | None = None

    def run(self, command: Command) -> Ended:
        """Call the command as it is described."""
        if self._process is None:
            preload()
            self._calls, theirs = FORKS.Pipe()
            self._process = FORKS.Process(target=_serve, args=(theirs,))
            self._process.start()
            theirs.close()
        with call_of(command) as call:
            self._calls.send(call)
            if not self._calls.poll(command.patience):
                self._process.kill()
                return call.ended(self.close())
            try:
                return call.ended(self._calls.recv())
            except (EOFError, ConnectionError):
                return call.ended(self.close())

    def train(self, folder: Path, *arguments: str) -> Ended:
        """Call `python train.py …` once."""
        return self.run(Command(arguments, folder))

    def close(self) -> int:
        """End the process; returns its exit code, or minus the number of the signal."""
        if self._process is None:
            return 0
        self._calls.close()
        self._process.join()
        code, self._process = self._process.exitcode, None
        assert code is not None
        return code


def _serve(calls: Connection[int, Call]) -> None:
    """Call what is asked for until nobody is there any more."""
    while True:
        try:
            call = calls.recv()
        except (EOFError, ConnectionError):
            return
        calls.send(_code_of(call))


def _code_of(call: Call) -> int:
    """The exit code with which a process of the command's own would have ended."""
    try:
        with warnings.catch_warnings():  # what was said once is said again
            in_fork(call)
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
    return 0
