"""Whether architectures that are alike have states that are near each other."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytorch_lightning as pl
from torch import Tensor

from nas_lightning.analysis.embedding import agreement, embeddings
from nas_lightning.analysis.similarity import (
    edit_distances,
    performance_difference,
    similarities,
    some_pairs,
)
from nas_lightning.callbacks.analysis import Analysis, policy_of, uniform_sample, write_table
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import require_whole

RECORDED = ("before_last", "final", "one_hot")
"""The embeddings whose values are metrics: Adam & Lorraine's, ours, the reference. All are in the
file."""

Measured = tuple[dict[str, Tensor], dict[str, Tensor]]
"""Matrices `(M, M)`, together what is known of the same pairs; and numbers beside them."""

BRANCHES = 100
"""Bound on the work for an edit distance; a pair of cells hardly ever needs more than one."""


class Similarity(Analysis):
    """Spearman's correlation of distances between states with similarities of architectures.

    First on uniform architectures, the same for all runs of one seed; then on the candidates of the
    derivation, as they were drawn, whose performance is known as it was judged there: under shared
    weights on few minibatches, which is noisier than the whole validation split.

    Args:
        every_epochs: Epochs from one look to the next.
        architectures: How many uniform architectures.
        edit_pairs: Of how many pairs the graph edit distance is computed; 0 for none. A pair of
            cells of 12 nodes takes 0.05 s.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    needs_states = True

    def __init__(self, *, every_epochs: int | None, architectures: int, edit_pairs: int) -> None:
        super().__init__(every_epochs=every_epochs)
        require_whole("architectures", architectures, at_least=3)
        self.architectures = architectures
        require_whole("edit_pairs", edit_pairs, at_least=0)
        self.edit_pairs = edit_pairs
        self._of_uniform: dict[int, list[Measured]] = {}

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Of another search nothing is known."""
        super().on_train_start(trainer, pl_module)
        self._of_uniform.clear()

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        assert search.derived is not None
        own, performance_of_own = search.derived.candidates, search.derived.values
        samples: dict[str, tuple[Tensor, Tensor | None]] = {
            "uniform": (uniform_sample(search, self.architectures), None),
            "own": (own, performance_of_own),
        }
        rows = []
        numbers: dict[str, Tensor | float] = {}
        for sample, (architectures, performance) in samples.items():
            states = policy_of(search).evaluate(architectures).hidden_states
            if states is None or len(architectures) < 3:  # no two pairs to compare
                continue
            for measures, beside in self._known(search, architectures, performance):
                found = agreement(embeddings(states, architectures), measures)
                rows += [
                    {"sample": sample, "embedding": embedding, "measure": measure, **asdict(value)}
                    for embedding, values in found.items()
                    for measure, value in values.items()
                ]
                numbers |= {
                    f"similarity/{sample}_{embedding}_{measure}": value.value
                    for embedding in RECORDED
                    for measure, value in found[embedding].items()
                }
                numbers |= {f"similarity/{sample}_{name}": value for name, value in beside.items()}
        if rows:
            search.record(numbers)
            write_table(folder / "similarity.csv", rows)

    def _known(
        self, search: ArchitectureSearch, architectures: Tensor, performance: Tensor | None
    ) -> list[Measured]:
        """Of uniform ones, whose performance is not known: the same until the space grows."""
        if performance is not None:
            return list(self._measures(search, architectures, performance))
        decisions = architectures.shape[1]
        if decisions not in self._of_uniform:
            self._of_uniform[decisions] = list(self._measures(search, architectures, None))
        return self._of_uniform[decisions]

    def _measures(
        self, search: ArchitectureSearch, architectures: Tensor, performance: Tensor | None
    ) -> Iterator[Measured]:
        yield similarities(search.space, architectures, None), {}
        if performance is not None:
            yield {"performance_difference": performance_difference(performance.cpu())}, {}
        if self.edit_pairs:
            generator = search.generators.constant("pairs for edit distances")
            pairs = some_pairs(len(architectures), self.edit_pairs, generator)
            graphs = [search.space.graph(row) for row in architectures.tolist()]
            found = edit_distances(graphs, pairs, max_branches=BRANCHES)
            exact = found.exact[pairs[:, 0], pairs[:, 1]].double().mean()
            yield {"edit_distance": found.values}, {"edit_distance_exact": exact}
