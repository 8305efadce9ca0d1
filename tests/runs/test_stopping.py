"""A process that is told to stop: wherever it is, it stops, with the signal's code."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator

import pytest

from nas_lightning.runs import stopping
from nas_lightning.training.executors import attempt

NUMBERS = (signal.SIGTERM, signal.SIGINT, signal.SIGALRM)


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """What pytest's own time limit has set stays."""
    timer = signal.setitimer(signal.ITIMER_REAL, 0)
    handlers = [signal.getsignal(number) for number in NUMBERS]
    yield
    assert signal.getitimer(signal.ITIMER_REAL)[0] == 0, "an alarm is left"
    assert [signal.getsignal(number) for number in NUMBERS] == handlers
    assert not stopping.asked()
    signal.setitimer(signal.ITIMER_REAL, *timer)


@contextlib.contextmanager
def stopped(code: int = 143) -> Iterator[None]:
    """What is done here is stopped, and ends with this code."""
    with pytest.raises(SystemExit) as ended, stopping.listening():
        yield
    assert ended.value.code == code


def stop(by: signal.Signals = signal.SIGTERM) -> None:
    os.kill(os.getpid(), by)


@pytest.mark.parametrize("by", [signal.SIGTERM, signal.SIGINT])
def test_at_once(by: signal.Signals) -> None:
    with stopped(128 + by):
        stop(by)
        pytest.fail("it goes on")


def test_where_it_is_lost_at_the_end() -> None:
    with stopped(), contextlib.suppress(SystemExit):
        stop()


@pytest.mark.parametrize("error", [RecursionError(), SystemExit(), SystemExit(1)])
def test_what_follows_is_taken_for_it(error: BaseException) -> None:
    """Also Lightning's own exit, which has no code."""
    with stopped():
        with contextlib.suppress(SystemExit):
            stop()
        raise error


@pytest.mark.parametrize("error", [RecursionError(), SystemExit(1)])
def test_an_error_without_it_is_one(error: BaseException) -> None:
    with pytest.raises(type(error)) as ended, stopping.listening():
        raise error
    assert ended.value is error


def test_it_comes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "AGAIN_SECONDS", 0.1)
    began = time.monotonic()
    with stopped():
        for _ in range(3):
            with contextlib.suppress(SystemExit):
                stop()
        with contextlib.suppress(SystemExit):
            threading.Semaphore(0).acquire(timeout=20)
        threading.Semaphore(0).acquire(timeout=20)
    assert time.monotonic() - began < 15


def test_deferred_it_waits_for_the_outermost_end() -> None:
    reached = []
    with stopped(), stopping.deferred():
        with stopping.deferred():
            stop()
            reached.append("inner")
        reached.append("outer")
    assert reached == ["inner", "outer"]


def test_deferred_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "GRACE_SECONDS", 0.1)
    with stopped(), stopping.deferred():
        stop()
        time.sleep(20)
        pytest.fail("it waits for long")


def test_told_twice_it_does_not_wait() -> None:
    with stopped(), stopping.deferred():
        stop()
        stop()
        pytest.fail("it waits")


def test_told_again_while_all_is_put_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """Otherwise the handlers would stay, and the alarm."""
    setitimer, own = signal.setitimer, signal.getsignal(signal.SIGTERM)

    def told(which: int, seconds: float, interval: float = 0.0) -> tuple[float, float]:
        before = setitimer(which, seconds, interval)
        if seconds == 0 and signal.getsignal(signal.SIGTERM) != own:
            stop()
        return before

    monkeypatch.setattr(signal, "setitimer", told)
    with stopped():
        stop()


def test_an_alarm_of_someone_elses() -> None:
    """It rings for whom it was set, and is not taken away."""
    rung: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, frame: rung.append(number))
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000)
        with stopping.listening(), stopping.listening():
            signal.raise_signal(signal.SIGALRM)
        assert rung == [signal.SIGALRM]
        assert signal.setitimer(signal.ITIMER_REAL, 0)[0] > 900
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_alarm_of_someone_elses_is_put_off_by_a_stop() -> None:
    try:
        signal.setitimer(signal.ITIMER_REAL, 1000, 7)
        with stopped():
            for _ in range(2):
                with contextlib.suppress(SystemExit):
                    stop()
    finally:
        left, interval = signal.setitimer(signal.ITIMER_REAL, 0)
    assert 900 < left <= 1000
    assert interval == 7


class Child:
    """One whose training makes an error of the stop."""

    def to(self, device: str) -> Child:
        return self

    def train(self, group: object) -> None:
        with contextlib.suppress(SystemExit):
            stop()
        raise RecursionError


def test_it_is_no_result_of_a_child() -> None:
    with stopped():
        attempt(Child(), [(0,)], "cpu")  # type: ignore[arg-type]
        pytest.fail("it would be on record")


def test_within_another_it_leaves_the_code_to_that() -> None:
    """As where a user's function searches."""
    with stopped(130):
        with contextlib.suppress(SystemExit), stopping.listening():
            stop(signal.SIGINT)
        assert stopping.asked()


def test_an_alarm_that_ends_a_process_still_does() -> None:
    program = (
        "import signal\n"
        "from nas_lightning.runs import stopping\n"
        "with stopping.listening():\n"
        "    signal.raise_signal(signal.SIGALRM)\n"
    )
    ended = subprocess.run([sys.executable, "-c", program])
    assert ended.returncode == -signal.SIGALRM


HELD = """
import os, signal, threading
from nas_lightning.commands.script import in_one_line
from nas_lightning.runs import stopping
stopping.AGAIN_SECONDS = 0.5
threading.Thread(target=threading.Semaphore(0).acquire).start()
in_one_line(lambda: os.kill(os.getpid(), signal.SIGINT))
"""


def test_no_thread_of_a_library_holds_what_has_stopped() -> None:
    ended = subprocess.run([sys.executable, "-c", HELD], capture_output=True, timeout=60)
    assert (ended.returncode, ended.stderr) == (130, b"stopped\n")


def test_what_waited_in_a_search_does_not_wait_in_the_next() -> None:
    with stopping.listening():
        stopping.defer(True)
    with stopped():
        stop()
        pytest.fail("it waits")
