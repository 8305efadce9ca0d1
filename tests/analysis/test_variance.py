"""Components of variance on tables whose components are known."""

from __future__ import annotations

import pytest
import torch

from nas_lightning.analysis.variance import components


def test_what_is_only_added_has_no_interaction() -> None:
    architectures = torch.tensor([1.0, 2.0, 3.0, 6.0])
    minibatches = torch.tensor([10.0, 30.0])
    found = components(architectures[:, None] + minibatches)
    assert found.interaction == pytest.approx(0, abs=1e-9)
    assert found.architecture == pytest.approx(float(architectures.std()))
    assert found.minibatch == pytest.approx(float(minibatches.std()))


def test_the_components_of_drawn_tables_without_bias() -> None:
    draw = torch.Generator().manual_seed(0)
    a, b, e = 0.5, 2.0, 1.0

    def table() -> torch.Tensor:
        parts = (a, (8, 1)), (b, (1, 6)), (e, (8, 6))
        return sum((s * torch.randn(n, generator=draw) for s, n in parts), torch.zeros(()))

    found = torch.tensor([components(table()) for _ in range(4000)]).square().mean(dim=0)
    # What is below 0 counts as 0, which lifts the least of them a little.
    assert found[0] == pytest.approx(a**2, rel=0.08)
    assert found[1] == pytest.approx(b**2, rel=0.05)
    assert found[2] == pytest.approx(e**2, rel=0.02)


def test_without_architectures_to_compare() -> None:
    with pytest.raises(ValueError, match=r"shape=\(1, 5\) is not allowed"):
        components(torch.zeros(1, 5))
