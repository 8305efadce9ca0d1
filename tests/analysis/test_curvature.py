"""The greatest eigenvalue by differences of gradients, where it is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from nas_lightning.analysis.curvature import FULL, greatest_eigenvalue


def quadratic(n: int) -> tuple[Tensor, Tensor]:
    """A symmetric matrix, most of whose eigenvalues are negative, and they."""
    generator = torch.Generator().manual_seed(n)
    q, _ = torch.linalg.qr(torch.randn(n, n, generator=generator, dtype=torch.float64))
    values = torch.linspace(-9, 1, n, dtype=torch.float64)
    values[-1] = 3
    return q @ torch.diag(values) @ q.t(), values


@pytest.mark.parametrize("n", [1, 5, FULL, FULL + 1, 60])
def test_of_a_quadratic(n: int) -> None:
    """The greatest one is 3; that of the greatest magnitude would be -9."""
    hessian, values = quadratic(n)
    point = torch.ones(n, dtype=torch.float64)
    found = greatest_eigenvalue(lambda x: hessian @ x + 1, point, step=0.1, tolerance=1e-3)
    assert found == pytest.approx(float(values.max()), rel=1e-2)


def test_of_a_curved_function() -> None:
    """Of sum(cos(x_i) a_i) the Hessian is diagonal: -a_i cos(x_i)."""
    a, x = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.3, 0.1, 2.0]).double()
    found = greatest_eigenvalue(lambda at: -a * at.sin(), x, step=1e-3, tolerance=1e-3)
    assert found == pytest.approx(2 * math.cos(0.1), rel=1e-5)


@pytest.mark.parametrize("n", [3, 40])
def test_what_diverges_has_none(n: int) -> None:
    found = greatest_eigenvalue(lambda x: x * torch.nan, torch.ones(n), step=0.1, tolerance=0.1)
    assert math.isnan(found)
