"""Weight sharing: one set of weights, trained for all architectures at once (ENAS, section 2.2)."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from nas_lightning.data.base import Batch, Data
from nas_lightning.errors import (
    Remedy,
    UserError,
    require_number,
    require_optimizer,
    require_whole,
)
from nas_lightning.estimators.base import (
    Estimator,
    Evaluation,
    OptimizerFactory,
    Phases,
)
from nas_lightning.estimators.forks import Forks
from nas_lightning.metrics import require_declared
from nas_lightning.runs.tensors import read
from nas_lightning.search_spaces.child import (
    ChildNetwork,
    ChildScore,
    measured,
    score_all,
    side_by_side,
)

Minibatches = tuple[Sequence[Batch], Sequence[Batch]]
"""Those by which a network is calibrated, and those on which it is scored."""


class CosineDecay:
    """A learning rate that falls along half a cosine, an epoch at a time.

    Args:
        end: The factor on the rate from epoch `epochs` on.
        epochs: How many epochs there are; in the first one the factor is 1.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, end: float, epochs: int) -> None:
        require_number("end", end, above=0, at_most=1)
        require_whole("epochs", epochs, at_least=1)
        self.end = end
        self.epochs = epochs

    def __call__(self, epoch: int) -> float:
        """The factor in an epoch, counted from 0."""
        done = min(1.0, epoch / self.epochs)
        return self.end + (1 - self.end) * (1 + math.cos(math.pi * done)) / 2


class WeightSharing(Estimator):
    """Trains a child network under sampled architectures, and judges others with its weights.

    Args:
        child: The network that holds the shared weights.
        data: Where the minibatches are from by which a network is calibrated.
        optimizer: Makes the optimizer of the shared weights from their parameters.
        decay: Factor on the learning rate an epoch, from epoch `decay_from` on; or a `CosineDecay`,
            which knows no `decay_from`.
        decay_from: First epoch, counted from 0, whose learning rate is smaller.
        gradient_clip: The gradient of the shared weights is scaled down to this norm; None for no
            limit.
        child_steps: Training steps an epoch; 0 leaves the shared weights as they are.
        weights: Folder of a finished run whose shared weights are the ones to start from, or None:
            drawn anew. With `child_steps` 0 they are common to all runs that start from them.
        controller_steps: Controller steps an epoch.
        objective: The metric by which architectures are compared.
        max_evaluation: How many architectures are scored at most in one call of a process, which
            bounds memory.
        calibration_minibatches: The first so many training minibatches, not augmented, give each
            architecture statistics of normalisation of its own before it is judged; 0: all are
            judged with those of training.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    trains = True

    def __init__(
        self,
        *,
        child: ChildNetwork,
        data: Data,
        optimizer: OptimizerFactory,
        decay: float | CosineDecay,
        decay_from: int,
        gradient_clip: float | None,
        child_steps: int,
        controller_steps: int,
        objective: str,
        max_evaluation: int,
        calibration_minibatches: int,
        weights: str | None,
    ) -> None:
        super().__init__()
        require_optimizer("optimizer", optimizer)
        self.objectives = (require_declared("objective", objective, child.metrics),)
        if not isinstance(decay, CosineDecay):
            require_number("decay", decay, above=0, at_most=1)
        require_whole("decay_from", decay_from, at_least=0)
        if gradient_clip is not None:
            require_number("gradient_clip", gradient_clip, above=0)
        require_whole("child_steps", child_steps, at_least=0)
        require_whole("controller_steps", controller_steps, at_least=0)
        require_whole("max_evaluation", max_evaluation, at_least=1)
        require_whole("calibration_minibatches", calibration_minibatches, at_least=0)
        if not child.shares_weights:
            raise UserError(
                f"estimator: {type(child).__name__} has no weights that architectures could share",
                Remedy.FROM_SCRATCH,
            )
        self.child = child
        self.make_optimizer = optimizer
        self.decay = decay
        self.decay_from = decay_from
        self.gradient_clip = gradient_clip
        self.metrics = child.metrics
        self.max_evaluation = max_evaluation
        self.data = data
        self.calibration_minibatches = calibration_minibatches
        self.phases = Phases(child_steps=child_steps, controller_steps=controller_steps)
        self._weights = None if weights is None else shared_weights(Path(weights), child)
        self._state: Tensor | None = None
        self._forks = Forks(self._scored)
        self._held: list[tuple[int, float]] = []
        """Of the weights that the forks judge with."""

    @property
    def shared(self) -> ChildNetwork:
        """The child network."""
        return self.child

    def reset_parameters(self, generator: torch.Generator) -> None:
        """Draw the shared weights anew, or take those it was given."""
        self.child.reset_parameters(generator)
        if self._weights is not None:
            self.child.load_state_dict(self._weights)
        self._state = None

    def learning_rate_factor(self, epoch: int) -> float:
        """What the optimizer's learning rate is multiplied by in an epoch, counted from 0."""
        if isinstance(self.decay, CosineDecay):
            return self.decay(epoch)
        return float(self.decay ** max(0, epoch + 1 - self.decay_from))

    def training_loss(
        self, architectures: Tensor, batch: Batch, generator: torch.Generator
    ) -> Tensor:
        """Mean loss, nats per target, of `(M, T)` architectures on a training minibatch.

        The recurrent state of the preceding training minibatch is carried into this one.
        """
        self._forks.close()  # their weights are those from before, and take memory
        self.child.train()
        state = self._state if batch.continues else None
        if state is not None:  # a checkpoint is read before the search is moved to its device
            state = state.to(batch.inputs.device)
        score = self.child.score(batch, architectures, state, generator)
        self._state = score.state
        return score.loss_sum.mean() / score.count

    @torch.no_grad()
    def evaluate(self, architectures: Tensor, batches: Sequence[Batch]) -> Evaluation:
        """Judge with the shared weights: no dropout, all from the same initial state."""
        self.child.eval()
        training = self._calibration(batches[0].inputs.device)
        at_once = min(self.max_evaluation, self.child.at_once(batches[0]) or self.max_evaluation)
        processes = self.processes if batches[0].inputs.is_cpu else 1
        if processes > 1 and (weights := fingerprint(self.child)) != self._held:
            self._forks.close()
            self._held = weights
        score = side_by_side(
            self._forks(
                (training, batches),
                torch.split(architectures, at_once),
                processes=processes,
            )
        )
        seen = score.count + sum(batch.targets.numel() for batch in training)
        finite = torch.isfinite(score.loss_sum).tolist()
        return Evaluation(
            metrics=measured(self.child, score),
            kind="shared",
            objectives=self.objectives,
            status=["ok" if good else "diverged" for good in finite],
            cost=float(seen * len(score.loss_sum)),
            cost_unit=self.child.counts,
        )

    def _calibration(self, device: torch.device) -> list[Batch]:
        """The training minibatches by which networks are calibrated."""
        batches = [self.data.train_batch(i) for i in range(self.calibration_minibatches)]
        return [batch.on(device) for batch in batches]

    def _scored(self, minibatches: Minibatches, architectures: Tensor) -> ChildScore:
        """Of some architectures, calibrated on some minibatches and scored on others."""
        training, batches = minibatches
        child = self.child.recalibrated(architectures, training) if training else self.child
        return replace(score_all(child, batches, architectures), state=None)

    def close(self) -> None:
        """Let go of the processes that judge with the weights as they are now."""
        self._forks.close()

    def get_extra_state(self) -> dict[str, Tensor | None]:
        """The carried recurrent state, so that a checkpoint holds it."""
        return {"state": self._state}

    def set_extra_state(self, state: dict[str, Tensor | None]) -> None:
        """Take the carried recurrent state from a checkpoint."""
        self._state = state["state"]


def fingerprint(child: ChildNetwork) -> list[tuple[int, float]]:
    """By which one sees that weights are others, whoever has changed them and however."""
    tensors = (*child.parameters(), *child.buffers())
    return [(tensor._version, float(tensor.sum())) for tensor in tensors]


def shared_weights(run: Path, child: ChildNetwork) -> dict[str, Tensor]:
    """The shared weights of a run's last checkpoint.

    Args:
        run: The run's folder.
        child: The network that they must fit.

    Raises:
        ValueError: If there are none, or they are another network's.
    """
    folder = run.expanduser()
    path = folder / "checkpoints" / "last.ckpt"
    if not (os.path.isfile(path) and os.path.exists(folder / "DONE")):
        raise ValueError(
            f"weights={run} is not allowed: must be the folder of a finished run; there is no DONE "
            f"or no {path.name} in it"
        )
    try:
        saved = read(path)["state_dict"]
    except Exception as error:  # whatever damaged bytes make of it
        raise ValueError(
            f"weights={run} is not allowed: must be the folder of a finished run; its {path.name} "
            f"is damaged ({type(error).__name__})"
        ) from error
    prefix = "estimator.child."
    weights = {k.removeprefix(prefix): v for k, v in saved.items() if k.startswith(prefix)}
    wanted = {name: value.shape for name, value in child.state_dict().items()}
    if {name: value.shape for name, value in weights.items()} != wanted:
        raise ValueError(
            f"weights={run} is not allowed: must be a run with this child network and vocabulary; "
            "its shared weights have other names or shapes"
        )
    return weights
