"""Linear layer and cross-entropy in pieces, against torch's own in one piece."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from nas_lightning.search_spaces.enas_rnn import softmax
from nas_lightning.search_spaces.enas_rnn.softmax import linear_cross_entropy

N, H, V = 7, 3, 5


def given() -> tuple[Tensor, Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    x, weight, bias = (
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in ((N, H), (V, H), (V,))
    )
    return x, weight, bias, torch.randint(V, (N,), generator=generator)


@pytest.mark.parametrize("rows", [1, 3, N, 100])
def test_pieces_make_no_difference(monkeypatch: pytest.MonkeyPatch, rows: int) -> None:
    """One row, three that do not divide seven, all, and room for more."""
    monkeypatch.setattr(softmax, "LOGITS_AT_ONCE", rows * V)
    x, weight, bias, targets = given()
    ours = linear_cross_entropy(x, weight, bias, targets)
    plain = F.cross_entropy(F.linear(x, weight, bias), targets, reduction="sum")
    torch.testing.assert_close(ours, plain)
    gradients = [torch.autograd.grad(3 * loss, (x, weight, bias)) for loss in (ours, plain)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other)


def test_no_row_is_held_longer_than_its_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(softmax, "LOGITS_AT_ONCE", 2 * V)
    multiplied = []
    mm = torch.mm

    def counted(x: Tensor, weight: Tensor, *, out: Tensor) -> Tensor:
        multiplied.append((len(x), out.data_ptr()))
        return mm(x, weight, out=out)

    monkeypatch.setattr(torch, "mm", counted)
    with torch.no_grad():
        linear_cross_entropy(*given())
    assert [rows for rows, _ in multiplied] == [2, 2, 2, 1]
    assert len({buffer for _, buffer in multiplied}) == 1


@pytest.mark.parametrize("size", [1.0, 20.0, 60.0, 1e4])
def test_large_logits_do_not_overflow(size: float) -> None:
    """Nor those that are far from their target's."""
    x, weight, bias, targets = given()
    x = (x * size).detach().float().requires_grad_()
    weight, bias = (at.detach().float().requires_grad_() for at in (weight, bias))
    ours = linear_cross_entropy(x, weight, bias, targets)
    plain = F.cross_entropy(F.linear(x, weight, bias), targets, reduction="sum")
    torch.testing.assert_close(ours, plain)
    gradients = [torch.autograd.grad(loss, (x, weight, bias)) for loss in (ours, plain)]
    for one, other in zip(*gradients, strict=True):
        assert one.isfinite().all()
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6 * size)


def test_what_is_not_finite_stays_in_its_row() -> None:
    x, weight, bias, targets = given()
    x = x.detach()
    x[0] = torch.nan
    x.requires_grad_()
    loss = linear_cross_entropy(x, weight, bias, targets)
    assert bool(loss.isnan())
    (gradient,) = torch.autograd.grad(loss, x)
    assert bool(gradient[1:].isfinite().all())


def test_a_second_backward_is_refused() -> None:
    """The first has scaled what the second would scale again."""
    x, *rest = given()
    loss = linear_cross_entropy(x, *rest)
    torch.autograd.grad(2 * loss, x, retain_graph=True)
    with pytest.raises(RuntimeError, match="a second backward"):
        torch.autograd.grad(2 * loss, x)


def test_second_derivatives_are_refused() -> None:
    """They would come back as constants."""
    x, *rest = given()
    with pytest.raises(RuntimeError, match="create_graph=True is not allowed"):
        torch.autograd.grad(linear_cross_entropy(x, *rest), x, create_graph=True)
