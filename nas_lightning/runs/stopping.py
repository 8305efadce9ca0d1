"""SIGTERM and Ctrl-C: where a step soon ends, the run is saved there before it stops.

Everywhere else, above all while children are waited for, it stops at once: those that have
finished are on record, and what a step has begun is done again, with the same result.

At once is by an exception, wherever the process is. A library may make another error of it, lose
it, or leave a lock behind that it then waits for, as `subprocess` does. So it comes again after a
while, an error that follows is taken for it, and it waits while much is imported and built.
"""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

GRACE_SECONDS = 5.0
"""How long a step may take to its end; Slurm and others kill after 30 seconds."""

CLEARING_SECONDS = 20.0
"""How long a process that stops may take to clear up before it is told so again."""

_waits = False
_code: int | None = None


def listen() -> None:
    """Stop this process in order by SIGTERM and SIGINT, but for those it shall not notice."""
    global _code
    _code = None
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _asked)


@contextmanager
def listening() -> Iterator[None]:
    """Stop in order meanwhile; afterwards all is as before."""
    global _code
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    listen()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        _code = None
        for number, handler in before.items():
            signal.signal(number, handler)


def defer(waits: bool) -> None:
    """Have the process stop where it is asked next whether it shall, or at once."""
    global _waits
    _waits = waits


@contextmanager
def deferred() -> Iterator[None]:
    """Stop at the end of this."""
    defer(True)
    try:
        yield
    finally:
        defer(False)
    stop_if_asked()


def asked() -> bool:
    """Whether this process shall stop."""
    return _code is not None


def stop_if_asked() -> None:
    """Stop: where nothing is lost."""
    if _code is not None:
        _insist(CLEARING_SECONDS)
        sys.exit(_code)


def cause(error: BaseException) -> BaseException:
    """Why a process ends: an error of one that shall stop has come of that."""
    return error if _code is None or isinstance(error, SystemExit) else SystemExit(_code)


def _asked(number: int, frame: FrameType | None) -> None:
    """Stop at once, or have it done; asked again, or after a while, at once."""
    global _code
    first, _code = _code is None, 128 + number
    waits = _waits and first
    _insist(GRACE_SECONDS if waits else CLEARING_SECONDS)
    if not waits:
        sys.exit(_code)


def _insist(seconds: float) -> None:
    """Stop in so many seconds, and again and again until the process has ended."""
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(_code))
    signal.setitimer(signal.ITIMER_REAL, seconds, CLEARING_SECONDS)
