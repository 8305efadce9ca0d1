"""What the analysing callbacks share: when they look, at what, and where they leave what they saw.

They look right after a derivation, inside its batch: what they write is made again when a run that
was killed repeats the derivation, and is then the same. All that they draw follows from the run's
seed and the epoch alone, so that looking changes nothing in the search.
"""

from __future__ import annotations

import sys
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytorch_lightning as pl
import torch
from matplotlib.figure import Figure
from torch import Tensor

from nas_lightning.analysis.probes import first_of_each
from nas_lightning.controllers.base import Policy, Proposal, Rollout
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import require_whole
from nas_lightning.files import write, write_csv
from nas_lightning.generators import seed_of
from nas_lightning.runs.folder import UNDEFINED


class Analysis(pl.Callback, ABC):
    """Looks into the search after the last derivation, and some before it.

    Args:
        every_epochs: Epochs from one look to the next, beginning with the first; None looks after
            the last alone.

    Raises:
        ValueError: If an argument is outside what is allowed.

    Attributes:
        needs_policy: Whether it looks at likelihoods or states, and so leaves itself out where the
            controller has no policy.
        needs_states: Likewise where the policy has no hidden states.
    """

    needs_policy = True
    needs_states = False

    def __init__(self, *, every_epochs: int | None) -> None:
        super().__init__()
        if every_epochs is not None:
            require_whole("every_epochs", every_epochs, at_least=1)
        self.every_epochs = every_epochs

    @abstractmethod
    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """Measure, record, and leave files.

        Args:
            search: As it is after a derivation.
            folder: For this epoch's files.
        """

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Say what will not be looked at, in the log and, by a file, on the page."""
        assert isinstance(pl_module, ArchitectureSearch)
        if not self._fits(pl_module):
            name = type(self).__name__
            without = "hidden states" if pl_module.controller.as_policy else "policy"
            print(
                f"{name}: not defined for this controller, which has no {without}", file=sys.stderr
            )
            folder = Path(trainer.default_root_dir) / "analysis"
            folder.mkdir(exist_ok=True)
            write(folder / f"{name}{UNDEFINED}", "")

    def _fits(self, search: ArchitectureSearch) -> bool:
        policy = search.controller.as_policy
        if self.needs_states:
            return policy is not None and policy.state_size is not None
        return not self.needs_policy or policy is not None

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Look, if it is time."""
        assert isinstance(pl_module, ArchitectureSearch)
        if batch.phase != "derive" or not self._fits(pl_module):
            return
        last = batch.epoch + 1 == trainer.max_epochs
        if last or (self.every_epochs is not None and batch.epoch % self.every_epochs == 0):
            folder = Path(trainer.default_root_dir) / "analysis" / f"epoch_{batch.epoch:04}"
            folder.mkdir(parents=True, exist_ok=True)
            with torch.no_grad():
                self.look(pl_module, folder)


def policy_of(search: ArchitectureSearch) -> Policy:
    """The policy of the controller, which has one."""
    policy = search.controller.as_policy
    assert policy is not None
    return policy


def own_sample(search: ArchitectureSearch, n: int) -> Proposal:
    """`n` architectures that the controller proposes now."""
    epoch = search.counters["epoch"]
    seed = seed_of(search.generators.seed, "analysis", epoch)
    generator = torch.Generator().manual_seed(seed)
    return search.controller.ask(n, generator)


def own_rollout(search: ArchitectureSearch, proposal: Proposal) -> Rollout:
    """What the controller's policy thinks of what it proposes, which it may have said already."""
    if isinstance(proposal, Rollout):
        return proposal
    return policy_of(search).evaluate(proposal.architectures)


def uniform_sample(search: ArchitectureSearch, n: int) -> Tensor:
    """Uniform architectures `(n, T)`: the same in every epoch, for all runs of one seed.

    Each is there once, so that of a small space there are fewer: what is drawn again is no second
    observation of anything.
    """
    generator = search.generators.constant("uniform for analysis")
    drawn = search.controller.space.sample(n, generator)
    return drawn[first_of_each(drawn)]


def write_table(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write rows of the same columns as CSV."""
    head = list(rows[0])
    write_csv(path, head, ([row[name] for name in head] for row in rows))


def show(search: ArchitectureSearch, name: str, figure: Figure, path: Path) -> None:
    """Save a figure as PNG, and hand it to those loggers that show pictures."""
    figure.savefig(path, dpi=100)
    figure.clear()  # its parts know each other, and would wait for Python's garbage collection
    for logger in search.loggers:
        log_image = getattr(logger, "log_image", None)
        if log_image is not None:
            log_image(name, path, search.counters)
