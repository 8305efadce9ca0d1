"""Ways out are put into words at the top, and survive being pickled between processes."""

from __future__ import annotations

import pickle

import pytest

from nas_lightning.assembly.composition import composed
from nas_lightning.assembly.make import mendable
from nas_lightning.assembly.messages import MENDABLE, REMEDIES, explained
from nas_lightning.errors import NotAllowedError, Remedy, UserError, require_whole


@pytest.mark.parametrize("remedy", Remedy)
def test_every_remedy_has_its_words(remedy: Remedy) -> None:
    error = pickle.loads(pickle.dumps(UserError("a: is wrong", remedy)))
    said = explained(error)
    assert said.startswith(f"a: is wrong{REMEDIES[remedy].partition('{')[0]}")
    assert "{" not in said, "a command that was not put in"
    assert str(error) == "a: is wrong"


def test_what_is_not_allowed_is_data() -> None:
    with pytest.raises(NotAllowedError) as raised:
        require_whole("size", 0, at_least=1)
    error = pickle.loads(pickle.dumps(raised.value))
    assert (error.name, error.value) == ("size", 0)
    assert str(error) == "size=0 is not allowed: must be a whole number >= 1"
    said = mendable(NotAllowedError("m", 1, "too few", Remedy.ANOTHER_BASELINE), "search")
    assert isinstance(said, UserError)
    assert explained(said) == (
        "search.m=1 is not allowed: too few; or choose controller/baseline=moving_average"
    )


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("search.max_time", "did you mean trainer.max_time? search has _target_, arch"),
        ("max_time", "did you mean trainer.max_time?"),
        ("data.path", "did you mean data.source.path?"),
        ("estimator.optimizer.max_time", "did you mean trainer.max_time? estimator.optimizer has "),
        ("search.no_such_word", "search has _target_, architectures_per_step"),
    ],
)
def test_a_key_of_that_name_elsewhere(key: str, expected: str) -> None:
    with pytest.raises(MENDABLE) as raised, composed({"data": "text", key: 3}):
        pass
    assert explained(raised.value).startswith(f"{key}=3: no such key; {expected}")
