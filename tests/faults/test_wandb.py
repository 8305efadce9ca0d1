"""W&B without a key, without a network, and with its own process killed: the run goes on."""

from __future__ import annotations

import socket
from functools import partial
from pathlib import Path

import pytest

from tests import moments
from tests.faults.arms import ARMS, Undisturbed
from tests.processes import Command, Ended, differing, run

ARM = "rnn, replay"
START = tuple("logger=wandb" if s == "logger=csv" else s for s in (*ARMS[ARM], "hydra.run.dir=run"))
SERVICE = "wandb-core"
"""The process that W&B starts beside a run, and to which it gives all it has."""

pytestmark = pytest.mark.timeout(900)


def warnings(ended: Ended) -> list[str]:
    """The lines on standard error beside those of the epochs."""
    return [line for line in ended.ours if not line.startswith(("epoch ", "data: "))]


@pytest.mark.faults(row="W&B's process killed")
@pytest.mark.parametrize(("kind", "call"), [("row", 1), ("row", 9), ("row", 30), ("save", 6)])
def test_its_process(
    kind: moments.Kind, call: int, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    whole, _ = undisturbed(ARM)
    here, kill = tmp_path / "here", partial(moments.strike, SERVICE)
    ended = run(Command(START, here, prepare=partial(moments.at, kind, call, kill)))
    assert ended.code == 0, ended
    (line,) = warnings(ended)
    assert line.startswith("warning: W&B has stopped (")
    assert line.endswith("); the search goes on, and metrics.csv is complete")
    assert differing(here / "run", whole) == []


@pytest.mark.faults(row="W&B without a key or a network")
@pytest.mark.parametrize("mode", ["auto", "offline"])
def test_no_key(mode: str, undisturbed: Undisturbed, tmp_path: Path) -> None:
    whole, _ = undisturbed(ARM)
    ended = run(Command((*START, f"logger.mode={mode}"), tmp_path / "here"))
    assert ended.code == 0, ended
    assert warnings(ended) == []
    assert differing(tmp_path / "here/run", whole) == []


@pytest.mark.faults(row="W&B without a key or a network")
def test_no_network(undisturbed: Undisturbed, tmp_path: Path) -> None:
    """Online, with a key, and nobody at the other end."""
    whole, _ = undisturbed(ARM)
    with socket.socket() as nobody:  # bound, and not listening: refused
        nobody.bind(("127.0.0.1", 0))
        host = f"http://127.0.0.1:{nobody.getsockname()[1]}"
        environment = {"WANDB_API_KEY": "0" * 40, "WANDB_BASE_URL": host}
        ended = run(Command(START, tmp_path / "here", environment))
    assert ended.code == 0, ended
    (line,) = (line for line in warnings(ended) if line.startswith("warning: "))
    assert line.startswith("warning: W&B cannot be reached (")
    assert len(list((tmp_path / "here/run").glob("wandb/offline-run-*"))) == 1
    assert differing(tmp_path / "here/run", whole) == []
