"""Variance taken apart: by hand, beside least squares, and the figures of the tables that ship."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from nas_lightning.analysis.additivity import additivity
from nas_lightning.commands.additivity import explained
from nas_lightning.errors import UserError
from nas_lightning.predictors.base import one_hot
from tests.controllers.test_controller_contract import Plain, seeded
from tests.predictors.test_predictors import pairs_of


def test_sums_products_and_triples() -> None:
    """± 1 at three decisions: sums are main effects, a product of two a pair, of three neither."""
    signs = torch.cartesian_prod(*[torch.tensor([-1.0, 1.0])] * 3)
    a, b, c = signs.unbind(dim=1)
    assert additivity(a + 2 * b - c, (2, 2, 2)) == pytest.approx((1, 1, 4))
    assert additivity(a * b, (2, 2, 2))[:2] == pytest.approx((0, 1))
    assert additivity(a * b * c, (2, 2, 2))[:2] == pytest.approx((0, 0))
    assert additivity(a + a * b + a * b * c, (2, 2, 2))[:2] == pytest.approx((1 / 3, 2 / 3))


def test_it_is_least_squares() -> None:
    values = torch.randn(12, generator=seeded(0)).double()
    chosen = one_hot(Plain(), Plain().architectures())
    found = additivity(values, Plain().num_choices)
    for features, share in (
        (chosen, found.main),
        (torch.cat([chosen, pairs_of(chosen)], dim=1), found.pairs),
    ):
        columns = np.column_stack([np.ones(12), features.numpy()])
        fit = columns @ np.linalg.lstsq(columns, values.numpy(), rcond=None)[0]
        assert share == pytest.approx(float(fit.var() / values.numpy().var()))


def test_the_tables_that_ship() -> None:
    for arguments, figures in (
        ([], ["0.86", "0.95", "4.432", "4.4"]),
        (["experiment=nas_bench_201"], ["0.40", "0.77", "69.08", "84.89"]),
    ):
        _, *lines = explained(arguments).splitlines()
        assert [line.split("  ")[-1].split()[0] for line in lines] == figures


def test_what_looks_nothing_up() -> None:
    with pytest.raises(UserError, match="estimator: looks nothing up; choose experiment=table"):
        explained(["experiment=smoke"])
