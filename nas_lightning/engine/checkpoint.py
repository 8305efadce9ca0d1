"""What a checkpoint holds of a search, beside what torch and Lightning keep: plain types only.

Writing and choosing checkpoints is `callbacks/checkpoint.py`, reading their tensors
`runs/tensors.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nas_lightning.engine.growth import grow

if TYPE_CHECKING:
    from nas_lightning.engine.module import ArchitectureSearch


def search_state(search: ArchitectureSearch) -> dict[str, Any]:
    """All that decides how a search goes on; what its records hold is on the disk by then."""
    return {
        "counters": dict(search.counters),
        "spent": search.judge.spent,
        "expenses": search.judge.expenses.state_dict(),
        "epochs_derived": search.epochs_derived,
        "incumbent": search.incumbent,
        "latest": search.latest,
        "first": search.first,
        "relaxed": None if search.relaxed is None else search.relaxed.state_dict(),
        "generators": search.generators.state_dict(),
        "ledger_bytes": search.ledger.sync(),
        "metrics_bytes": search.metrics.sync(),
    }


def restore(search: ArchitectureSearch, state: Mapping[str, Any]) -> None:
    """Go on from there; rows written after the checkpoint are cut off the records.

    It must come before the tensors are loaded, as it does in Lightning: a controller that has grown
    with its space takes those of the grown one.
    """
    search.counters.update(state["counters"])
    search.judge.spent = state["spent"]
    search.judge.expenses.load_state_dict(state["expenses"])
    search.epochs_derived = state.get("epochs_derived", search.counters["epoch"])
    search.judge.incumbents.best = state["incumbent"]
    search.latest = state["latest"]
    search.first = state["first"]
    if search.relaxed is not None:
        search.relaxed.load_state_dict(state["relaxed"])
    search.generators.load_state_dict(state["generators"])
    grow(search.space, search.controller, search.counters["architectures_judged"])
    search.ledger.truncate(state["ledger_bytes"])
    search.metrics.truncate(state["metrics_bytes"])
