"""Pictures of the controller's hidden states."""

from __future__ import annotations

from pathlib import Path

from nas_lightning.callbacks.analysis import (
    Analysis,
    own_rollout,
    own_sample,
    policy_of,
    show,
    uniform_sample,
)
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.report.figures import heat_map

ARCHITECTURES = 100
"""In a picture, a row each, as in Adam & Lorraine 2019."""


class HeatMaps(Analysis):
    """Heat maps of final states: of uniform architectures and of the controller's own.

    Of a controller without recurrence there is nothing to show.

    Args:
        every_epochs: Epochs from one look to the next; drawing takes a quarter of a second.

    Raises:
        ValueError: If `every_epochs` is outside what is allowed.
    """

    needs_states = True

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        uniform = policy_of(search).final_states(uniform_sample(search, ARCHITECTURES))
        own = own_rollout(search, own_sample(search, ARCHITECTURES)).hidden_states
        last = None if own is None else own[:, -1]
        for name, states in {"uniform": uniform, "own": last}.items():
            if states is not None:
                figure = heat_map(states, title=f"final states, {name} architectures")
                show(search, f"hidden/{name}_states", figure, folder / f"states_{name}.png")
