"""How diverse the proposed architectures are, whether they are new, how far from uniform."""

from __future__ import annotations

import math
from collections.abc import Container, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from nas_lightning.errors import require_number
from nas_lightning.search_spaces.base import SearchSpace


@dataclass(frozen=True)
class Novelty:
    """How new architectures are, compared with the best ones known.

    Attributes:
        recreated: Share of them that are among the known ones.
        slightly_changed: Share that differ from the nearest of the known ones in 1 or 2 decisions.
        nearest: Mean number of decisions in which they differ from the nearest.
    """

    recreated: float
    slightly_changed: float
    nearest: float


@dataclass(frozen=True)
class Collapse:
    """Whether a controller proposes hardly anything but the same.

    Attributes:
        collapsed: Whether it does.
        message: One line: what was seen, and after a collapse the way out.
    """

    collapsed: bool
    message: str


def diversity(space: SearchSpace, architectures: Tensor) -> dict[str, float]:
    """Numbers that say how diverse architectures are, by the name under which they are logged.

    Args:
        space: What they are architectures of.
        architectures: int64 `(M, T)`.
    """
    return {
        "unique_fraction": unique_fraction(architectures),
        "canonical_unique_fraction": canonical_unique_fraction(space, architectures),
        "hamming_distance": mean_hamming_distance(architectures),
        "effective_sample": effective_sample(architectures),
    }


def unique_fraction(architectures: Tensor) -> float:
    """The number of different rows of `(M, T)`, over M."""
    return len(_counts(architectures)) / len(architectures)


def canonical_unique_fraction(space: SearchSpace, architectures: Tensor) -> float:
    """The number of different networks among `(M, T)`, over M; see `SearchSpace.canonical`."""
    rows = architectures.tolist()
    return len({space.canonical(row) for row in rows}) / len(rows)


def decision_entropies(architectures: Tensor) -> Tensor:
    """Entropy of the options seen at each decision of `(M, T)`, nats, float64 `(T,)`.

    Of the sample as it is; the policy's own is larger, by about (options - 1) / (2 M).
    """
    return torch.stack([_entropy(_counts(column)) for column in architectures.T])


def mean_hamming_distance(architectures: Tensor) -> float:
    """In how many decisions two of the M architectures `(M, T)` differ, averaged over pairs.

    NaN for a single architecture.
    """
    size = len(architectures)
    if size < 2:
        return math.nan
    alike = 0
    for column in architectures.T:
        counts = _counts(column)
        alike += int((counts * (counts - 1)).sum())
    return architectures.shape[1] - alike / (size * (size - 1))


def effective_sample(architectures: Tensor) -> float:
    """How many architectures, equally frequent, would make a sample as diverse as this one.

    The exponential of the sample's entropy (Jost 2006, "Entropy and diversity"; Hill 1973, order
    1). It can never exceed M, so near M it says only that the policy has many more; there read
    `effective_policy`.

    Args:
        architectures: int64 `(M, T)`.
    """
    return math.exp(float(_entropy(_counts(architectures))))


def effective_policy(log_probs: Tensor) -> float:
    """How many architectures, equally likely, would make a policy as diverse as this one.

    `exp(mean_i -log p_i)` over the policy's own samples: an estimate of the exponential of its
    entropy, without the limit of M that `effective_sample` has. A uniform policy gives the size of
    the space.

    Args:
        log_probs: Of each decision given those before it, nats, `(M, T)`, as in
            `controllers.base.Rollout`.
    """
    return float((-log_probs.detach().double().sum(dim=1).mean()).exp())


def revisit_rate(architectures: Tensor, known: Container[tuple[int, ...]]) -> float:
    """The share of architectures `(M, T)` that are among the known ones."""
    rows = architectures.tolist()
    return sum(tuple(row) in known for row in rows) / len(rows)


def nearest_distance(architectures: Tensor, known: Tensor) -> Tensor:
    """In how many decisions each differs from the nearest of the known ones.

    Args:
        architectures: int64 `(M, T)`.
        known: int64 `(N, T)`, N >= 1.

    Returns:
        int64 `(M,)`.
    """
    differ = architectures.unsqueeze(1) != known  # (M, N, T)
    nearest: Tensor = differ.sum(dim=2).amin(dim=1)
    return nearest


def novelty(architectures: Tensor, top: Tensor) -> Novelty:
    """Whether a policy explores, or recreates the best ones known, or slightly changes them.

    The three possibilities are those of Adam & Lorraine 2019.

    Args:
        architectures: int64 `(M, T)`.
        top: The best ones known, int64 `(N, T)`, N >= 1, for example the ledger's 20 best.
    """
    nearest = nearest_distance(architectures, top)
    slightly = (nearest == 1) | (nearest == 2)
    return Novelty(
        recreated=float((nearest == 0).double().mean()),
        slightly_changed=float(slightly.double().mean()),
        nearest=float(nearest.double().mean()),
    )


def collapse(architectures: Tensor, *, possible: int, min_unique_fraction: float) -> Collapse:
    """Whether a policy has collapsed: rewards of equal architectures teach it nothing any more.

    Args:
        architectures: What it proposed, int64 `(M, T)`.
        possible: How many architectures the search space has: no more can be different.
        min_unique_fraction: The policy has collapsed if a smaller share of them is unique.
    """
    require_number("min_unique_fraction", min_unique_fraction, at_least=0, at_most=1)
    size = len(architectures)
    unique = len(_counts(architectures))
    collapsed = unique < min_unique_fraction * min(size, possible)
    message = f"{unique} of {size} proposed architectures are different"
    if collapsed:
        message += (
            f", less than {min_unique_fraction:.0%}: the controller has collapsed; "
            "raise the entropy weight or lower the learning rate"
        )
    return Collapse(collapsed, message)


def _counts(values: Tensor) -> Tensor:
    """How often each different entry, or row, is there."""
    rows = 0 if values.dim() > 1 else None  # of entries it is thirty times as fast without
    counts: Tensor = values.unique(dim=rows, return_counts=True)[1]
    return counts


def _entropy(counts: Tensor) -> Tensor:
    """Entropy of the frequencies that counts stand for, nats, float64."""
    entropy: Tensor = torch.special.entr(counts.double() / counts.sum()).sum()
    return entropy


def kl_to_uniform(
    architectures: Tensor, distributions: Sequence[Tensor], entropies: Tensor, space: SearchSpace
) -> float:
    """KL(policy || uniform) over whole architectures, nats, estimated from a sample.

    By the chain rule it is E sum_t KL(p_t || u_t), p_t the policy's distribution of decision t and
    u_t that of uniform architectures after the same decisions: without masks log n_t - H_t, n_t
    the number of options and H_t the entropy of p_t. 0 for uniform sampling; log(size) at most.

    Args:
        architectures: Drawn from the policy, `(M, T)`.
        distributions: Its log-probabilities: T tensors `(M, choices of decision t)`.
        entropies: Of every decision, nats, `(M, T)`.
        space: What they were drawn from.
    """
    entropy = float(entropies.double().sum(dim=1).mean())
    if not space.masked:
        return max(0.0, sum(math.log(n) for n in space.num_choices) - entropy)
    crossed = 0.0
    for t, log_p in enumerate(distributions):
        p, u = log_p.double().exp(), space.uniform(architectures[:, :t]).double()
        crossed -= float(torch.special.xlogy(p, u).sum(dim=1).mean())
    return max(0.0, crossed - entropy)
