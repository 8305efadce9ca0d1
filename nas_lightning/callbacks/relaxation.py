"""A look into a search by gradient: how sure its weights are, of what, and at what cost."""

from __future__ import annotations

from pathlib import Path

import pytorch_lightning as pl
import torch
from torch import Tensor

from nas_lightning.callbacks.analysis import Analysis, write_table
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import require_whole
from nas_lightning.files import write_json
from nas_lightning.search_spaces.child import LOSS


class LookAtWeights(Analysis):
    """Looks at the weights of a search by gradient, and at what is lost by deriving.

    It records the entropy of the weights, the share of each option, and the loss of the relaxed
    network beside that of the derived one on the same minibatches. All weights go to a file.

    Args:
        every_epochs: See `Analysis`.
        minibatches: How many validation minibatches the losses are measured on.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    needs_policy = False

    def __init__(self, *, every_epochs: int | None, minibatches: int) -> None:
        super().__init__(every_epochs=every_epochs)
        require_whole("minibatches", minibatches, at_least=1)
        self.minibatches = minibatches

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Nothing is said where there are no weights to look at: nobody expects them there."""

    def _fits(self, search: ArchitectureSearch) -> bool:
        return search.relaxed is not None

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        relaxed = search.relaxed
        assert relaxed is not None
        assert search.data is not None
        controller = relaxed.controller
        groups, weights = controller.groups, controller.expected()
        derived = controller.derived()
        batches = search.data.validation_batches()[: self.minibatches]
        # Judged as everywhere: with statistics of normalisation of its own, not the mixture's.
        judged = search.estimator.evaluate(
            torch.tensor([derived]), [batch.on(search.device) for batch in batches]
        )
        losses = {
            "relaxed": relaxed.loss_on(batches),
            "derived": float(judged.metrics[LOSS.name]),
        }
        of_groups: Tensor = groups.entropies(weights)
        entropy = dict(zip(groups.names, of_groups.tolist(), strict=True))
        search.record(
            {
                "relaxed/entropy": of_groups.mean(),
                **{f"relaxed/entropy/{name}": value for name, value in entropy.items()},
                "relaxed/loss": losses["relaxed"],
                "relaxed/derived_loss": losses["derived"],
                "relaxed/gap": losses["derived"] - losses["relaxed"],
                **{f"relaxed/share/{name}": s for name, s in groups.shares(weights).items()},
            }
        )
        stopped = relaxed.stopped_with
        write_json(
            folder / "derived.json",
            {"actions": derived, **({} if stopped is None else {"early_stop": stopped})},
        )
        names = [(g, o) for g, of in zip(groups.names, groups.options, strict=True) for o in of]
        write_table(
            folder / "relaxation.csv",
            [
                {"group": group, "option": option, "weight": weight, "entropy": entropy[group]}
                for (group, option), weight in zip(names, weights.tolist(), strict=True)
            ],
        )
