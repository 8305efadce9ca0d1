"""What is said of the candidates of a derivation, also where some of them fail."""

from __future__ import annotations

import math

import pytest
import torch

from nas_lightning.engine.derivation import spread


def test_the_median_is_of_those_that_did_not_fail() -> None:
    found = spread({"loss": torch.tensor([4.0, math.nan, 1.0, 3.0])})
    assert found["derive/loss_median"] == 3
    assert found["derive/loss_mean"].isnan(), "what verdicts read says that something is missing"
    assert found["derive/loss_std"].isnan()
    whole = spread({"loss": torch.tensor([4.0, 1.0, 4.0])})
    assert whole["derive/loss_median"] == 4
    assert whole["derive/loss_mean"] == pytest.approx(3)
