"""Work that forks share with this process: the same results, whatever becomes of a fork."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch

from nas_lightning.estimators import forks
from nas_lightning.estimators.forks import Forks

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there is anything forked")

Work = Forks[int, int, tuple[int, int]]


def slowly(job: int, item: int) -> tuple[int, int]:
    """What comes of it and which process it was, after so long that nobody takes all items."""
    time.sleep(0.02)
    return job * item, os.getpid()


@pytest.fixture
def made() -> Iterator[Callable[..., Work]]:
    kept: list[Work] = []

    def make(function: Callable[[int, int], tuple[int, int]] = slowly) -> Work:
        kept.append(Forks(function))
        return kept[-1]

    yield make
    for work in kept:
        work.close()


def test_work_is_shared_out_and_comes_back_in_order(made: Callable[..., Work]) -> None:
    work = made()
    first = work(3, range(12), processes=3)
    second = work(5, range(9), processes=3)
    assert [found for found, _ in first] == [3 * n for n in range(12)]
    assert [found for found, _ in second] == [5 * n for n in range(9)]
    by = {process for _, process in first}
    assert len(by) == 3
    assert os.getpid() in by
    assert {process for _, process in second} == by  # they are kept


@pytest.mark.parametrize("processes", [1, 2])
def test_one_item_or_one_process_needs_no_fork(made: Callable[..., Work], processes: int) -> None:
    items = range(3 - processes)
    assert made()(1, items, processes=processes) == [(n, os.getpid()) for n in items]


def test_more_than_a_pipe_holds(made: Callable[..., Work], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "MOST", 5)
    found = made()(2, range(13), processes=2)
    assert [value for value, _ in found] == [2 * n for n in range(13)]


def test_a_fork_holds_what_was_there_until_it_is_let_go(made: Callable[..., Work]) -> None:
    held = [1]

    def read(job: int, item: int) -> tuple[int, int]:
        return held[0], slowly(job, item)[1]

    work = made(read)
    work(0, range(4), processes=2)
    held[0] = 2
    own, others = set[int](), set[int]()
    for value, process in work(0, range(8), processes=2):
        (own if process == os.getpid() else others).add(value)
    assert (own, others) == ({2}, {1})
    work.close()
    assert {value for value, _ in work(0, range(8), processes=2)} == {2}


def test_what_a_fork_does_not_come_back_with_is_computed_here(made: Callable[..., Work]) -> None:
    here = os.getpid()

    def killed(job: int, item: int) -> tuple[int, int]:
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return slowly(job, item)

    work = made(killed)
    for _ in range(2):  # the second time there are new ones
        assert work(3, range(6), processes=3) == [(3 * n, here) for n in range(6)]


def test_a_fork_that_was_killed_between_two_calls(made: Callable[..., Work]) -> None:
    work = made()
    (other,) = {process for _, process in work(1, range(6), processes=2)} - {os.getpid()}
    os.kill(other, signal.SIGKILL)
    os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
    assert work(3, range(6), processes=2) == [(3 * n, os.getpid()) for n in range(6)]
    assert len({process for _, process in work(3, range(6), processes=2)}) == 2


def test_an_error_is_raised_here_and_nothing_stays(made: Callable[..., Work]) -> None:
    def refused(job: int, item: int) -> tuple[int, int]:
        if item == 4:
            raise ValueError("item 4")
        return slowly(job, item)

    work = made(refused)
    for _ in range(2):
        with pytest.raises(ValueError, match="item 4"):
            work(1, range(6), processes=2)
    assert [value for value, _ in work(1, range(4), processes=2)] == [0, 1, 2, 3]


def test_where_nothing_can_be_forked_all_is_done_here(
    made: Callable[..., Work], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refused)
    assert made()(3, range(4), processes=2) == [(3 * n, os.getpid()) for n in range(4)]


def test_threads_are_as_before(made: Callable[..., Work]) -> None:
    def threads(job: int, item: int) -> tuple[int, int]:
        return torch.get_num_threads(), slowly(job, item)[1]

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        found = made(threads)(0, range(6), processes=2)
        assert {number for number, _ in found} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


PARENT = """
import os, sys, time
from nas_lightning.estimators.forks import Forks

def work(job, item):
    time.sleep(0.02)
    return os.getpid()

lock = open(sys.argv[1], "w")
forks = Forks(work)
print(*(set(forks(0, range(8), processes=2)) - {os.getpid()}), flush=True)
time.sleep(60)
"""


def test_forks_end_with_their_parent_and_hold_no_file_of_its(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(lock)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    fork = int(parent.stdout.readline())
    held = [os.readlink(link) for link in Path(f"/proc/{fork}/fd").iterdir()]
    assert str(lock) not in held
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 10
    while works(fork):
        assert time.monotonic() < deadline, "the fork is still there"
        time.sleep(0.05)


def works(process: int) -> bool:
    """Whether it is there, and no zombie."""
    try:
        stat = Path(f"/proc/{process}/stat").read_text(encoding="ascii")
    except FileNotFoundError:
        return False
    return stat.rpartition(") ")[2][0] != "Z"
