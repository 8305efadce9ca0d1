"""What a controller's states and probabilities know of the decisions made before.

Three questions, from weak to strong: do states of different architectures differ, can past
decisions be read off a state, and do past decisions change what is drawn next?
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from nas_lightning.errors import require_whole

STEPS = 30
"""Of the fit. Beside fits that went on to the end, on states of three controllers, no balanced
accuracy was off by more than 0.003."""

LEFT_OUT = -100
"""Of the targets: what is held out, and not learned from."""


@dataclass(frozen=True)
class Probe:
    """How well one decision can be read off a state.

    Attributes:
        decision: Which one, counted from 0.
        balanced_accuracy: Recall averaged over its options, on held-out architectures; NaN where
            an option was seen less often than there are folds.
        chance: What a guess reaches that knows no state, by the same folds: options drawn as often
            as they are among those of the other folds. One over the number of options, or a little
            less, since an option that is frequent in a fold is rare in the others.
    """

    decision: int
    balanced_accuracy: float
    chance: float


def state_variance(hidden_states: Tensor) -> Tensor:
    """Which share of the states' variance lies between architectures, at every step.

    Args:
        hidden_states: `(M, T + 1, H)` of `controllers.base.Rollout`.

    Returns:
        `mean_u Var_i h[i, t, u] / mean_u Var_(i, t) h[i, t, u]`, float64 `(T + 1,)`: 0 where all
        architectures have the same state, NaN if all states are the same. It may exceed 1 at a
        step where states differ more than they do on the whole.
    """
    states = hidden_states.detach().double()
    between, means = torch.var_mean(states, dim=0, correction=0)
    # Over all, the variance is what lies between architectures, and what lies between steps.
    total = between.mean(dim=0) + means.var(dim=0, correction=0)
    return between.mean(dim=1) / total.mean()


def probe(states: Tensor, decisions: Tensor, *, folds: int) -> list[Probe]:
    """Read decisions off a state with linear classifiers (Alain & Bengio 2016), cross-validated.

    Logistic regression on standardised states, with scikit-learn's penalty. Ridge classification
    has a closed form, but is blind to the middle options where a state holds a number on one axis
    (Hastie et al. 2009, section 4.2): one of five numbers it read with 0.51, logistic regression
    with 1.00.

    Args:
        states: One state of each architecture, `(M, H)`; of uniform architectures, 2,000 or more,
            so that no decision can be guessed from another. An architecture that is there twice,
            with the same state and the same decisions, is taken once: in one fold to learn from
            and in another to be read, it would be recognised, whatever its state holds.
        decisions: The decisions to be read, int64 `(M, any number)`, for example those made before
            the state, `architectures[:, :t]`.
        folds: Of the cross-validation, stratified by option, in the order given.

    Returns:
        One for each decision of which more than one option was seen.
    """
    require_whole("folds", folds, at_least=2)
    states = states.detach().cpu().double()
    kept = first_of_each(torch.cat([states, decisions.cpu().double()], dim=1))
    codes = [column.unique(return_inverse=True)[1] for column in decisions.cpu()[kept].T]
    counts = [code.bincount() for code in codes]
    chosen = [t for t, count in enumerate(counts) if len(count) > 1]
    readable = [t for t in chosen if counts[t].min() >= folds]
    parts = {t: _parts(codes[t], folds) for t in readable}
    targets = [_targets(codes[t], parts[t], folds) for t in readable]
    probes = {t: Probe(t, math.nan, 1 / len(counts[t])) for t in chosen}
    for t, read in zip(readable, _read_off(states[kept], targets), strict=True):
        held_out = read.gather(0, parts[t].unsqueeze(0)).squeeze(0)
        accuracy = _balanced(held_out == codes[t], codes[t])
        probes[t] = Probe(t, accuracy, _chance(codes[t], parts[t]))
    return list(probes.values())


def first_of_each(rows: Tensor) -> Tensor:
    """Where each distinct row of a matrix first stands, in order."""
    found = np.unique(rows.detach().cpu().numpy(), axis=0, return_index=True)[1]
    return torch.from_numpy(np.sort(found))


def _parts(codes: Tensor, folds: int) -> Tensor:
    """In which fold each is held out, int64 `(M,)`: of every option, and of all, an equal share."""
    dealt = torch.arange(len(codes)) % folds
    parts = torch.empty_like(codes)
    for option, share in enumerate(dealt.split(codes.bincount().tolist())):
        parts[codes == option] = share.sort().values
    return parts


def _targets(codes: Tensor, parts: Tensor, folds: int) -> Tensor:
    """What each fold learns, int64 `(folds, M)`."""
    return torch.stack([codes.where(parts != fold, LEFT_OUT) for fold in range(folds)])


def _balanced(right: Tensor, codes: Tensor) -> float:
    """What is right, averaged over options."""
    return float((codes.bincount(weights=right.double()) / codes.bincount()).mean())


def _chance(codes: Tensor, parts: Tensor) -> float:
    """Balanced accuracy of guesses by the frequencies of the folds that are learned from."""
    options = int(codes.max()) + 1
    right = torch.empty(len(codes), dtype=torch.float64)
    for fold in parts.unique():
        learned, held_out = codes[parts != fold], codes[parts == fold]
        frequencies = learned.bincount(minlength=options) / len(learned)
        right[parts == fold] = frequencies[held_out].double()
    return _balanced(right, codes)


def _read_off(states: Tensor, targets: Sequence[Tensor]) -> list[Tensor]:
    """Which options logistic regressions read off the states, `(folds, M)` for each decision.

    All decisions and folds are fitted at once. A triangular factor of the cross-entropies'
    curvature, which is nearly the same for all of them, gives coordinates in which no direction is
    much flatter than others, so that a few steps of L-BFGS suffice.

    Args:
        states: `(M, H)`.
        targets: Of each decision what every fold learns, `(folds, M)`.
    """
    if not targets:
        return []
    scale = states.std(dim=0, correction=0)
    standardised = (states - states.mean(dim=0)) / scale.where(scale > 0, 1)
    inputs = torch.cat([standardised, torch.ones(len(states), 1)], dim=1).float()
    penalised = torch.ones(inputs.shape[1])
    penalised[-1] = 0  # the intercept is not penalised
    upper = torch.linalg.cholesky(inputs.T @ inputs / 4 + torch.diag(penalised), upper=True)
    options = [int(target.max()) + 1 for target in targets]
    # Of two options each has half of the one vector that scikit-learn penalises.
    penalty = torch.cat([torch.full((n,), 2.0 if n == 2 else 1.0) for n in options])
    penalty = penalised.unsqueeze(1) * penalty
    like = torch.zeros(len(targets[0]), *penalty.shape, requires_grad=True)
    optimizer = torch.optim.LBFGS([like], max_iter=STEPS, line_search_fn="strong_wolfe")

    def loss() -> float:
        weights = torch.linalg.solve_triangular(upper, like, upper=True)
        scores = (inputs @ weights).split(options, dim=2)
        total = (penalty * weights.square()).sum() / 2
        for score, target in zip(scores, targets, strict=True):
            total = total + cross_entropy(
                score.transpose(1, 2), target, ignore_index=LEFT_OUT, reduction="sum"
            )
        optimizer.zero_grad()
        torch.autograd.backward(total)
        return float(total.detach())

    optimizer.step(loss)
    with torch.no_grad():
        weights = torch.linalg.solve_triangular(upper, like, upper=True)
        return [s.argmax(dim=2) for s in (inputs @ weights).split(options, dim=2)]


def history_information(distributions: Sequence[Tensor]) -> Tensor:
    """What each decision's distribution owes to the history: mutual information, nats.

    `I_t = H(mean_i p_i) - mean_i H(p_i)`, where `p_i` is the distribution of decision t after
    history i. Histories that the policy drew give the mutual information of decision t with those
    before it. Uniform histories, forced upon it, give its sensitivity: whether it would react to
    histories that it no longer draws. 0 means that decision t ignores what came before.

    With M histories it is biased low, to first order by at most `(K_t - 1) / (2 M)`.

    Args:
        distributions: Log-probabilities of all options, nats: T tensors `(M, K_t)`, minus infinity
            where an option is closed; `controllers.base.Rollout.distributions`.

    Returns:
        float64 `(T,)`.
    """
    information = []
    for log_p in distributions:
        p = log_p.detach().double().exp()
        mean_entropy = torch.special.entr(p).sum(dim=1).mean()
        information.append(torch.special.entr(p.mean(dim=0)).sum() - mean_entropy)
    return torch.stack(information).clamp_min(0)  # rounding may lead below
