"""The start of a run: the garbage collector rests, and looks at nothing imported afterwards."""

from __future__ import annotations

import gc
import subprocess
import sys

import pytest

from nas_lightning.assembly.run import uncollected


@pytest.mark.parametrize("on", [True, False])
def test_it_rests_meanwhile_and_is_as_before(on: bool) -> None:
    frozen = gc.get_freeze_count()
    if not on:
        gc.disable()
    try:
        with uncollected():
            assert not gc.isenabled()
        assert gc.isenabled() == on
        with pytest.raises(ValueError, match="built"), uncollected():
            raise ValueError("not built")
        assert gc.isenabled() == on
    finally:
        gc.enable()
    assert gc.get_freeze_count() <= frozen, "torch was there before: what is new is others'"


PROGRAM = """
import gc
from nas_lightning.assembly.run import uncollected

with uncollected():
    here = gc.get_freeze_count()
    later = [[] for _ in range(1000)]
print(here, gc.get_freeze_count(), len(gc.get_objects()))
"""


def test_what_is_imported_stays_and_what_is_built_does_not() -> None:
    ended = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr
    imported, after, looked_at = map(int, ended.stdout.split())
    assert imported > 100_000
    assert 0 <= imported - after < 1000, "nothing is added to it"
    assert 1000 <= looked_at < imported / 10
