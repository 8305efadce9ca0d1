"""Work that forks share with this process: the same results, whatever becomes of a fork."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

from nas_lightning.estimators import forks
from nas_lightning.estimators.forks import Forks, pickled

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only there is anything forked")

Work = Forks[int, int, tuple[int, int]]


class Together:
    """What comes of an item, and which process it was; each waits until enough are at work.

    Args:
        folder: Where they meet.
        number: How many are enough.
    """

    def __init__(self, folder: Path, number: int) -> None:
        self.folder = folder
        self.number = number

    def __call__(self, job: int, item: int) -> tuple[int, int]:
        (self.folder / f"{job}-{os.getpid()}").touch()
        deadline = time.monotonic() + 60
        while len(list(self.folder.glob(f"{job}-*"))) < self.number:
            assert time.monotonic() < deadline, "the others do not come"
            time.sleep(0.002)
        return job * item, os.getpid()


@pytest.fixture
def together(tmp_path: Path) -> Callable[[int], Together]:
    return lambda number: Together(tmp_path, number)


@pytest.fixture
def made() -> Iterator[Callable[[Callable[[int, int], tuple[int, int]]], Work]]:
    kept: list[Work] = []

    def make(function: Callable[[int, int], tuple[int, int]]) -> Work:
        kept.append(Forks(function))
        return kept[-1]

    before = files(), children()
    yield make
    for work in kept:
        work.close()
    assert (files(), children()) == before


Made = Callable[[Callable[[int, int], tuple[int, int]]], Work]
Meeting = Callable[[int], Together]


def files() -> list[str]:
    """Those that this process has open, but for the one that lists them."""
    return sorted(os.listdir("/proc/self/fd"))


def children() -> list[str]:
    """The processes that this one has started and not waited for."""
    lists = Path("/proc/self/task").glob("*/children")
    return [child for of_thread in lists for child in of_thread.read_text().split()]


def plain(job: int, item: int) -> tuple[int, int]:
    return job * item, os.getpid()


def test_work_is_shared_out_and_comes_back_in_order(made: Made, together: Meeting) -> None:
    work = made(together(3))
    first = work(3, range(12), processes=3)
    second = work(5, range(9), processes=3)
    assert [found for found, _ in first] == [3 * n for n in range(12)]
    assert [found for found, _ in second] == [5 * n for n in range(9)]
    by = {process for _, process in first}
    assert len(by) == 3
    assert os.getpid() in by
    assert {process for _, process in second} == by  # they are kept


def test_no_more_work_than_there_are_items(made: Made, together: Meeting) -> None:
    meet = {2: together(2), 3: together(3)}
    work = made(lambda job, item: meet[job](job, item))
    for number in (2, 3):  # where there are more, others join
        assert len({process for _, process in work(number, range(number), processes=6)}) == number


@pytest.mark.parametrize("processes", [1, 2])
def test_one_item_or_one_process_needs_no_fork(made: Made, processes: int) -> None:
    items = range(3 - processes)
    assert made(plain)(1, items, processes=processes) == [(n, os.getpid()) for n in items]


def test_where_threads_are_worth_more_there_is_no_fork(made: Made) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    try:
        assert {process for _, process in made(plain)(1, range(3), processes=4)} == {os.getpid()}
    finally:
        torch.set_num_threads(before)


def test_more_than_are_handed_out_at_once(made: Made, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "MOST", 5)
    found = made(plain)(2, range(13), processes=2)
    assert [value for value, _ in found] == [2 * n for n in range(13)]


def test_a_fork_holds_what_was_there_until_it_is_let_go(made: Made, together: Meeting) -> None:
    held, meet = [1], together(2)
    work = made(lambda job, item: (held[0], meet(job, item)[1]))
    work(0, range(4), processes=2)
    held[0] = 2
    found = {(value, process == os.getpid()) for value, process in work(1, range(8), processes=2)}
    assert found == {(2, True), (1, False)}
    work.close()
    assert {value for value, _ in work(2, range(8), processes=2)} == {2}


def test_what_a_fork_does_not_come_back_with_is_computed_here(
    made: Made, together: Meeting, capsys: pytest.CaptureFixture[str]
) -> None:
    here, meet = os.getpid(), together(3)

    def killed(job: int, item: int) -> tuple[int, int]:
        found = meet(job, item)
        if os.getpid() != here:
            os.kill(os.getpid(), signal.SIGKILL)
        return found

    work = made(killed)
    for job in range(2):  # the second time there are new ones
        assert work(job, range(6), processes=3) == [(job * n, here) for n in range(6)]
    assert capsys.readouterr().err.count("warning: a process that judges beside") == 1


def test_who_hangs_is_waited_for_only_so_long(
    made: Made, together: Meeting, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(forks, "PATIENCE", 0.2)
    here, meet = os.getpid(), together(2)

    def hangs(job: int, item: int) -> tuple[int, int]:
        found = meet(job, item)
        if os.getpid() != here:
            time.sleep(600)
        return found

    assert made(hangs)(3, range(4), processes=2) == [(3 * n, here) for n in range(4)]


def test_a_fork_that_was_killed_between_two_calls(made: Made, together: Meeting) -> None:
    meet, here = together(2), os.getpid()
    work = made(lambda job, item: plain(job, item) if job == 1 else meet(job, item))
    (other,) = {process for _, process in work(0, range(6), processes=2)} - {here}
    os.kill(other, signal.SIGKILL)
    os.waitid(os.P_PID, other, os.WEXITED | os.WNOWAIT)
    assert work(1, range(6), processes=2) == [(n, here) for n in range(6)]
    assert len({process for _, process in work(2, range(6), processes=2)}) == 2


def test_a_fork_that_somebody_else_has_waited_for(made: Made, together: Meeting) -> None:
    work = made(together(2))
    (other,) = {process for _, process in work(0, range(6), processes=2)} - {os.getpid()}
    os.kill(other, signal.SIGKILL)
    os.waitpid(other, 0)
    work.close()
    assert len({process for _, process in work(1, range(6), processes=2)}) == 2


def test_an_error_is_raised_here_and_nothing_stays(made: Made) -> None:
    def refused(job: int, item: int) -> tuple[int, int]:
        if item == 4:
            raise ValueError("item 4")
        return plain(job, item)

    work, before = made(refused), files()
    for _ in range(2):
        with pytest.raises(ValueError, match="item 4"):
            work(1, range(6), processes=2)
        assert files() == before
    assert [value for value, _ in work(1, range(4), processes=2)] == [0, 1, 2, 3]


def test_where_nothing_can_be_forked_all_is_done_here(
    made: Made, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> int:
        raise BlockingIOError("no more processes")

    monkeypatch.setattr(os, "fork", refused)
    assert made(plain)(3, range(4), processes=2) == [(3 * n, os.getpid()) for n in range(4)]
    gc.collect()  # the connection to what was not made


def test_threads_are_as_before(made: Made, together: Meeting) -> None:
    before, meet = torch.get_num_threads(), together(2)
    torch.set_num_threads(2)
    try:
        work = made(lambda job, item: (torch.get_num_threads(), meet(job, item)[1]))
        assert {number for number, _ in work(0, range(6), processes=2)} == {1}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_copy_has_forks_of_its_own(made: Made, together: Meeting) -> None:
    work = made(together(2))
    first = work(0, range(4), processes=2)
    other = copy.deepcopy(work)
    other.close()
    del other
    assert {p for _, p in work(1, range(4), processes=2)} == {p for _, p in first}


def test_a_part_of_a_tensor_does_not_take_the_whole_along() -> None:
    whole = torch.arange(100_000.0)
    parts = [*whole.split(10)]
    assert len(pickled(parts[:10])) < 10_000
    for part, other in zip(pickle.loads(pickled(parts[:10])), parts, strict=False):
        assert torch.equal(part, other)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.randn(3, 4).t(),
        torch.randn(1).expand(5),
        torch.tensor(3),
        torch.zeros(0, 2),
        torch.tensor([True, False]),
        torch.randn(3, dtype=torch.bfloat16),
        torch.randn(3, requires_grad=True),
        nn.Parameter(torch.randn(3), requires_grad=False),
    ],
    ids=["turned", "expanded", "number", "empty", "truth", "bfloat16", "learns", "parameter"],
)
def test_a_tensor_comes_back_as_it_was(tensor: torch.Tensor) -> None:
    """And can be written to."""
    (again,) = pickle.loads(pickled([tensor]))
    assert torch.equal(again, tensor)
    assert (type(again), again.dtype) == (type(tensor), tensor.dtype)
    assert again.requires_grad == tensor.requires_grad
    again.detach().zero_()
    assert not again.any()


PARENT = """
import os, sys, time
from nas_lightning.estimators.forks import Forks

def work(job, item):
    open(sys.argv[1] + str(os.getpid()), "w").close()
    while len(os.listdir(os.path.dirname(sys.argv[1]))) < 3:
        time.sleep(0.002)
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
