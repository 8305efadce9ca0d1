"""What a controller's states and probabilities know of the decisions made before.

Three questions, from weak to strong: do states of different architectures differ, can past
decisions be read off a state, and do past decisions change what is drawn next?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits
from torch import Tensor

from nas_lightning.errors import require_whole

MAX_ITERATIONS = 1000
"""Of the logistic regression; standardised states of 2,000 architectures took 9 to 124."""

TOLERANCE = 1e-3
"""Where its fit ends: ten times scikit-learn's, for half the time, and the same accuracy to within
0.005 at every decision."""


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
    between = states.var(dim=0, correction=0).mean(dim=1)
    return between / states.flatten(end_dim=1).var(dim=0, correction=0).mean()


def probe(states: Tensor, decisions: Tensor, *, folds: int) -> list[Probe]:
    """Read decisions off a state with linear classifiers (Alain & Bengio 2016), cross-validated.

    Logistic regression on standardised states: of 2,000 states of 100 units, half a second a
    decision on one core with five folds. Ridge classification takes a fifth of that, but is
    blind to the middle options where a state holds a number on one axis (Hastie et al. 2009,
    section 4.2): one of five numbers it read with 0.51, logistic regression with 1.00.

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
    # Takes a third of a second, which a search need not wait for.
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import balanced_accuracy_score
    from sklearn.model_selection import StratifiedKFold, cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    require_whole("folds", folds, at_least=2)
    states = states.detach().cpu().double()
    kept = first_of_each(torch.cat([states, decisions.cpu().double()], dim=1))
    inputs = states[kept].numpy()
    classifier = make_pipeline(
        StandardScaler(), LogisticRegression(max_iter=MAX_ITERATIONS, tol=TOLERANCE)
    )
    probes = []
    for number, chosen in enumerate(decisions.cpu()[kept].numpy().T):
        counts = np.unique(chosen, return_counts=True)[1]
        if len(counts) < 2:
            continue
        accuracy, chance = np.nan, 1 / len(counts)
        if counts.min() >= folds:
            parts = list(StratifiedKFold(folds).split(inputs, chosen))
            # Small matrices: more threads would only wait for each other.
            with threadpool_limits(1):
                read = cross_val_predict(classifier, inputs, chosen, cv=parts)
            accuracy = balanced_accuracy_score(chosen, read)
            chance = _chance(chosen, parts)
        probes.append(Probe(number, float(accuracy), chance))
    return probes


def first_of_each(rows: Tensor) -> Tensor:
    """Where each distinct row of a matrix first stands, in order."""
    found = np.unique(rows.detach().cpu().numpy(), axis=0, return_index=True)[1]
    return torch.from_numpy(np.sort(found))


def _chance(chosen: NDArray[np.int64], parts: Sequence[tuple[NDArray[np.int64], ...]]) -> float:
    """Balanced accuracy of guesses by the frequencies of the folds that are learned from."""
    options, codes = np.unique(chosen, return_inverse=True)
    right = np.empty(len(chosen))
    for learned, held_out in parts:
        frequencies = np.bincount(codes[learned], minlength=len(options)) / len(learned)
        right[held_out] = frequencies[codes[held_out]]
    return float(np.mean([right[codes == option].mean() for option in range(len(options))]))


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
