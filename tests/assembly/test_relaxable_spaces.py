"""A space without a relaxation refuses a search by gradient in a line, and names those with one."""

from __future__ import annotations

from pathlib import Path

import pytest

from nas_lightning.assembly.messages import ending
from nas_lightning.assembly.search import build
from nas_lightning.errors import UserError
from tests.given import choosing, composed

HAVE = "search_space=darts_rnn, modules or nas_bench_201, with estimator=weight_sharing"


@pytest.mark.parametrize("controller", ["darts", "gdas", "drnas"])
@pytest.mark.parametrize("space", ["enas_rnn", "nas_cnn", "function", "nas_bench_201"])
def test_refused(space: str, controller: str, tmp_path: Path) -> None:
    """The last one has none where its cells are looked up."""
    cfg = composed(*choosing(space), "logger=csv", f"controller={controller}")
    with pytest.raises(UserError) as refused:
        build(cfg, tmp_path)
    code, said = ending(refused.value)
    assert code == 2
    assert said.startswith("controller: ")
    assert said.endswith(f"choose a space that can be relaxed, {HAVE}")
    assert "\n" not in said


@pytest.mark.parametrize("space", ["darts_rnn", "modules", "nas_bench_201"])
def test_those_have_one(space: str, tmp_path: Path) -> None:
    given = [*choosing(space), "logger=csv", "estimator=weight_sharing", "controller=gdas"]
    data = ["data=digits"] if space != "darts_rnn" else []
    _, search = build(composed(*given, *data), tmp_path)
    assert search.relaxed is not None
