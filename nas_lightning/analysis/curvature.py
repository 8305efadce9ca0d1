"""The greatest eigenvalue of a Hessian, from gradients alone."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh
from torch import Tensor

FULL = 24
"""Up to so many dimensions the whole Hessian takes fewer gradients than an iteration would."""

BASIS = 8
"""Vectors that the iteration holds: scipy's 20 would take 40 gradients before the first look."""


def greatest_eigenvalue(
    gradient: Callable[[Tensor], Tensor], at: Tensor, *, step: float, tolerance: float
) -> float:
    """The greatest eigenvalue, not the greatest in magnitude, of the Hessian of a function.

    A product of the Hessian with a vector is a central difference of gradients: where the function
    is not quadratic its error is of the order of the square of the step.

    Args:
        gradient: The function's gradient `(N,)` at a point `(N,)`.
        at: The point.
        step: How far apart from the point, as a Euclidean norm, gradients are taken.
        tolerance: Relative error at which the iteration ends (Lanczos; its start is fixed).

    Returns:
        The eigenvalue; NaN where a gradient is not finite.
    """

    def product(vector: np.ndarray) -> np.ndarray:
        v = torch.from_numpy(np.asarray(vector, dtype=np.float64).reshape(-1))
        norm = float(v.norm())
        shift = (v * (step / norm)).to(at)
        difference = gradient(at + shift) - gradient(at - shift)
        return (difference.double().cpu() * (norm / (2 * step))).numpy()

    n = at.numel()
    if n <= FULL:
        columns = [product(row) for row in np.eye(n)]
        hessian = np.stack(columns)
        if not np.isfinite(hessian).all():
            return float("nan")
        return float(np.linalg.eigvalsh((hessian + hessian.T) / 2)[-1])
    start = np.cos(np.arange(n, dtype=np.float64))  # of no symmetry that a Hessian might share
    operator = LinearOperator((n, n), matvec=product, dtype=np.float64)
    try:
        found = eigsh(
            operator,
            k=1,
            which="LA",
            v0=start,
            ncv=BASIS,
            tol=tolerance,
            return_eigenvectors=False,
        )
    except (ArpackNoConvergence, RuntimeError):
        return float("nan")
    return float(found[0])
