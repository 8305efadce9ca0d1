"""SIGTERM and Ctrl-C: where a step soon ends, the run is saved there before it stops.

Everywhere else, above all while children are waited for, it stops at once: those that have
finished are on record, and what a step has begun is done again, with the same result.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

GRACE_SECONDS = 5.0
"""How long a step may take to its end; Slurm and others kill after 30 seconds."""

_within_steps = False
_code: int | None = None


def listen() -> None:
    """Stop this process in order by SIGTERM and SIGINT, but for those it shall not notice."""
    global _code
    _code = None
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) != signal.SIG_IGN:  # as under nohup
            signal.signal(number, _asked)


def defer(until_steps_end: bool) -> None:
    """Have the process stop at the end of a step from now on, or at once."""
    global _within_steps
    _within_steps = until_steps_end


def asked() -> bool:
    """Whether this process shall stop."""
    return _code is not None


def stop_if_asked() -> None:
    """Stop: where nothing is lost."""
    if _code is not None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.exit(_code)


def _asked(number: int, frame: FrameType | None) -> None:
    """Stop at once, or have it done; asked again, or after a while, at once."""
    global _code
    first, _code = _code is None, 128 + number
    if not (_within_steps and first):
        sys.exit(_code)
    signal.signal(signal.SIGALRM, lambda *_: sys.exit(_code))
    signal.setitimer(signal.ITIMER_REAL, GRACE_SECONDS)
