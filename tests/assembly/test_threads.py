"""As many threads as pay: one for small networks, all processors for large ones."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
import torch

from nas_lightning.assembly import threads
from nas_lightning.assembly.make import make
from nas_lightning.errors import UserError
from tests.given import composed


@pytest.fixture(autouse=True)
def threads_stay() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def chosen(*overrides: str) -> int:
    cfg = composed(*overrides)
    space, data = make(cfg, "search_space"), make(cfg, "data")
    child = make(cfg, "child", space=space, **data.sizes)
    number = threads.set_threads(cfg, space=space, child=child, data=data)
    assert torch.get_num_threads() == number
    return number


def test_as_many_as_pay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "share", lambda environment: 3)
    assert chosen() == 1
    assert chosen("child.hidden_size=1000") == 3
    assert chosen("threads=2") == 2


def test_nothing_trained_here_needs_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "share", lambda environment: 3)
    cfg = composed("experiment=table")
    space = make(cfg, "search_space")
    assert threads.set_threads(cfg, space=space, child=None, data=None) == 1


@pytest.mark.parametrize(
    ("said", "of_four"),
    [
        ({}, 4),
        ({"OMP_NUM_THREADS": "2"}, 2),
        ({"OMP_NUM_THREADS": "8"}, 4),
        ({"OMP_NUM_THREADS": "0"}, 4),
        ({"OMP_NUM_THREADS": "many"}, 4),
    ],
)
def test_a_launchers_share_counts(
    said: dict[str, str], of_four: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(threads, "processors", lambda: 4)
    assert threads.share(said) == of_four
    monkeypatch.setattr(os, "environ", said)
    assert threads.processes(composed()) == of_four
    assert threads.processes(composed("threads=3")) == 3


@pytest.mark.parametrize("word", ["many", "1.5", "0", "99999999"])
def test_other_words(word: str) -> None:
    cfg = composed(f"threads={word}")
    with pytest.raises(UserError, match=rf"threads={word} is not allowed: must be"):
        threads.asked(cfg)
