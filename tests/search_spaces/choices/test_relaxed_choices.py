"""A model of a user's own, relaxed: at the weights of an architecture it is that architecture's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from nas_lightning.data.base import Batch
from nas_lightning.search_spaces.choices import Choice, ChoiceChild, ChoiceSpace, Repeat
from nas_lightning.search_spaces.choices.parts import weighing


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture
def child() -> ChoiceChild:
    space = ChoiceSpace(
        model="tests.newcomers.own_model.Net", arguments={"width": 4}, pretrained=False
    )
    child = ChoiceChild(space=space, num_classes=10, loss=None, metrics=None)
    child.reset_parameters(seeded(0))
    return child


def batch() -> Batch:
    images = torch.rand(6, 1, 8, 8, generator=seeded(1))
    return Batch(images, torch.randint(10, (6,), generator=seeded(2)), False)


@pytest.mark.parametrize("training", [True, False])
def test_one_hot_weights_give_the_discrete_network(child: ChoiceChild, training: bool) -> None:
    """With a depth, choices within its blocks, and dropout by the same draws."""
    child.train(training)
    architectures = child.space.sample(12, seeded(3))
    for row in architectures:
        one = child.score(batch(), row.unsqueeze(0), None, seeded(4)).loss_sum[0] / 6
        weights = child.space.groups.one_hot(row.tolist())
        relaxed = child.relaxed_loss(batch(), weights, None, seeded(4))
        torch.testing.assert_close(relaxed.loss, one, rtol=1e-6, atol=1e-6)
        assert float(relaxed.penalty) == 0


def test_every_weight_has_the_gradient_of_its_option(child: ChoiceChild) -> None:
    """By central differences."""
    child.double().eval()
    data = Batch(batch().inputs.double(), batch().targets, False)
    raw = torch.randn(sum(child.space.groups.sizes), generator=seeded(5), dtype=torch.float64)
    weights = child.space.groups.softmax(raw).requires_grad_()
    (found,) = torch.autograd.grad(child.relaxed_loss(data, weights, None, None).loss, weights)
    at, step = weights.detach(), 1e-6
    for place in range(len(at)):
        shift = torch.zeros_like(at)
        shift[place] = step
        losses = [child.relaxed_loss(data, at + s, None, None).loss for s in (shift, -shift)]
        difference = (losses[0] - losses[1]) / (2 * step)
        torch.testing.assert_close(found[place], difference.detach(), rtol=1e-4, atol=1e-7)


class Counted(nn.Module):
    """Doubles, and counts how often."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        type(self).calls += 1
        return 2 * x


class Sum(nn.Module):
    """The sum of what comes."""

    def forward(self, x: Tensor) -> Tensor:
        return x.sum()


def test_mixtures_by_hand() -> None:
    x = torch.tensor([1.0, 2.0])
    choice = Choice({"double": Counted(), "same": nn.Identity()})
    with weighing({choice: torch.tensor([0.25, 0.5])}):
        assert torch.equal(choice(x), 0.5 * x + 0.5 * x)
    calls = Counted.calls
    with weighing({choice: torch.tensor([0.0, 0.5])}):
        assert torch.equal(choice(x), 0.5 * x)
    assert Counted.calls == calls, "an option of weight 0 was computed"
    summed = Choice({"same": nn.Identity(), "sum": Sum()})  # whose results have other shapes
    with weighing({summed: torch.tensor([0.5, 2.0])}):
        assert torch.equal(summed(x), 0.5 * x + 6)
    repeat = Repeat(Counted(), at_most=3, at_least=0)
    weights = torch.tensor([0.1, 0.2, 0.3, 0.4])
    with weighing({repeat: weights}):
        torch.testing.assert_close(repeat(x), (0.1 + 0.4 + 1.2 + 3.2) * x)
    calls = Counted.calls
    with weighing({repeat: torch.tensor([0.5, 0.5, 0, 0])}):
        torch.testing.assert_close(repeat(x), 1.5 * x)
    assert Counted.calls == calls + 1
    with weighing({repeat: torch.zeros(4)}):
        assert torch.equal(repeat(x), 0 * x)


def test_networks_of_their_own_cannot_be_mixed(child: ChoiceChild) -> None:
    fresh = child.fresh(child.space.sample(1, seeded(0)), [seeded(1)])
    assert isinstance(fresh, ChoiceChild)
    weights = child.space.groups.one_hot([0] * len(child.space.decisions))
    with pytest.raises(TypeError, match="cannot be mixed"):
        fresh.relaxed_loss(batch(), weights, None, None)
