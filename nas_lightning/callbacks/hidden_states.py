"""Whether the controller's hidden state tells architectures apart, and whether it matters."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from nas_lightning.analysis.embedding import state_spread
from nas_lightning.analysis.probes import history_information, state_variance
from nas_lightning.callbacks.analysis import (
    Analysis,
    own_rollout,
    own_sample,
    policy_of,
    uniform_sample,
    write_table,
)
from nas_lightning.engine.module import ArchitectureSearch
from nas_lightning.errors import require_whole


class HiddenStates(Analysis):
    """The states' variance, and what decisions owe to those before them.

    Of a controller without recurrence the latter alone is there.

    Args:
        every_epochs: Epochs from one look to the next.
        architectures: How many uniform ones are fed to the controller, and how many it samples.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(self, *, every_epochs: int | None, architectures: int) -> None:
        super().__init__(every_epochs=every_epochs)
        require_whole("architectures", architectures, at_least=2)
        self.architectures = architectures

    def look(self, search: ArchitectureSearch, folder: Path) -> None:
        """See `Analysis.look`."""
        uniform = policy_of(search).evaluate(uniform_sample(search, self.architectures))
        own = own_rollout(search, own_sample(search, self.architectures))
        decisions = [decision.name for decision in search.controller.space.decisions]
        rows = []
        numbers: dict[str, Tensor | float] = {}
        for name, rollout in {"uniform": uniform, "own": own}.items():
            information = history_information(rollout.distributions)
            numbers[f"hidden/{name}_information"] = information.sum()
            states = rollout.hidden_states
            if states is None:
                variance = [float("nan")] * len(decisions)
            else:
                variance = state_variance(states).tolist()
                spread = state_spread(states[:, -1])
                numbers |= {
                    f"hidden/{name}_variance": variance[-1],
                    f"hidden/{name}_std": spread.std,
                    f"hidden/{name}_saturated": spread.saturated,
                }
            rows += [
                {"sample": name, "decision": decision, "variance_before": v, "information": i}
                for decision, v, i in zip(decisions, variance, information.tolist(), strict=False)
            ]
        search.record(numbers)
        write_table(folder / "hidden_states.csv", rows)
