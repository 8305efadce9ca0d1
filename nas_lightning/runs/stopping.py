"""SIGTERM and Ctrl-C: where a step soon ends, the run is saved there before it stops.

Everywhere else, above all while children are waited for, it stops at once: those that have
finished are on record, and what a step has begun is done again, with the same result.

At once is by an exception, wherever the process is. A library may make another error of it, lose
it, or leave a lock behind that it then waits for, as `subprocess` does. So it comes again after a
while, an error that follows is taken for it, and it waits while much is imported and built.
Lightning puts back the handlers that it found, so all are there before it begins, and has an exit
of its own after a SIGTERM, which has no code.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

GRACE_SECONDS = 5.0
"""How long a step may take to its end; Slurm and others kill after 30 seconds."""

AGAIN_SECONDS = 20.0
"""After which a process that stops is stopped once more: it hangs, or is long in clearing up."""

CODES = (128 + signal.SIGTERM, 128 + signal.SIGINT)
"""With which a process ends that was told to stop."""

_waits = False
_deaf = False
_listens = False
_code: int | None = None
_alarm: Any = None
"""The handler of SIGALRM that was there before: it may be someone else's."""

_rings: tuple[float, float] | None = None
"""In how many seconds that would have rung, and how often then; None where this is not put off."""


@contextmanager
def to_the_end() -> Iterator[None]:
    """Listen in a process that ends with this: after a stop no thread of a library holds it."""
    try:
        with listening():
            yield
    except SystemExit as error:
        if error.code in CODES:
            last = threading.Timer(AGAIN_SECONDS, os._exit, (error.code,))
            last.daemon = True
            last.start()
        raise


@contextmanager
def listening() -> Iterator[None]:
    """Stop in order by SIGTERM and SIGINT meanwhile; afterwards all is as before.

    Raises:
        SystemExit: With 128 plus the signal's number, at the end if not before.
    """
    global _alarm, _deaf, _code, _listens, _rings
    if _listens:  # who listens around this has the handlers, and ends with the code
        yield
        return
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)
    before = {number: signal.getsignal(number) for number in numbers}
    waited, _alarm = _waits, before[signal.SIGALRM]
    _listens, _deaf = True, False
    try:
        _listen()
        yield
        stop_if_asked()
    except BaseException as error:
        found = cause(error)
        if found is not error:
            raise found from None
        raise
    finally:
        _deaf = True  # whoever asks again shall not keep this from its end
        try:
            if _rings is not None:
                signal.setitimer(signal.ITIMER_REAL, 0)
            for number, handler in before.items():
                if handler is not None:  # Python did not set it, and cannot
                    signal.signal(number, handler)
            if _rings is not None:  # now whose alarm it is hears it
                signal.setitimer(signal.ITIMER_REAL, *_rings)
        finally:
            _code, _rings, _listens, _deaf = None, None, False, False
            defer(waited)


def _listen() -> None:
    """Handle the signals, but for those that the process shall not notice, as under nohup."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:
            signal.signal(number, _told)
    signal.signal(signal.SIGALRM, _again)


def defer(waits: bool) -> None:
    """Have the process stop where it is asked next whether it shall, or at once."""
    global _waits
    _waits = waits


@contextmanager
def deferred() -> Iterator[None]:
    """Stop at the end of this, if that is soon."""
    before = _waits
    defer(True)
    try:
        yield
    finally:
        defer(before)
    if not before:
        stop_if_asked()


def asked() -> bool:
    """Whether this process shall stop."""
    return _code is not None


def stop_if_asked() -> None:
    """Stop: where nothing is lost."""
    if _code is not None:
        _insist(AGAIN_SECONDS)
        sys.exit(_code)


def cause(error: BaseException) -> BaseException:
    """Why a process ends: whatever has been raised since it was told to stop has come of that."""
    if _code is None or (isinstance(error, SystemExit) and error.code == _code):
        return error
    return SystemExit(_code)


def _told(number: int, frame: FrameType | None) -> None:
    """Stop at once, or have it done; told again, or after a while, at once."""
    global _code
    if _deaf:
        return
    waits = _waits and _code is None
    _code = 128 + number
    _insist(GRACE_SECONDS if waits else AGAIN_SECONDS)
    if not waits:
        sys.exit(_code)


def _again(number: int, frame: FrameType | None) -> None:
    """Stop, if that is what the alarm is for."""
    if _code is None and callable(_alarm):
        _alarm(number, frame)
    elif _code is None and _alarm == signal.SIG_DFL:
        signal.signal(number, signal.SIG_DFL)
        signal.raise_signal(number)
    elif _code is not None and not _deaf:
        sys.exit(_code)


def _insist(seconds: float) -> None:
    """Stop in so many seconds, and again and again until the process has ended."""
    global _rings
    if threading.current_thread() is threading.main_thread():
        before = signal.setitimer(signal.ITIMER_REAL, seconds, AGAIN_SECONDS)
        _rings = _rings or before
