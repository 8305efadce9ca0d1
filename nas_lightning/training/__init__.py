"""Training children from scratch: the plain loop, and where it runs."""

from typing import TYPE_CHECKING, Any

from nas_lightning.training.child_training import ChildResult, ChildTraining, TrainingState
from nas_lightning.training.executors import ChildJob, Executor, LocalExecutor
from nas_lightning.training.in_process import InProcessExecutor

if TYPE_CHECKING:
    from nas_lightning.training.ray_executor import RayExecutor

__all__ = [
    "ChildJob",
    "ChildResult",
    "ChildTraining",
    "Executor",
    "InProcessExecutor",
    "LocalExecutor",
    "RayExecutor",
    "TrainingState",
]


def __getattr__(name: str) -> Any:
    """Import what needs Ray, an extra that takes long to import, only when it is asked for."""
    if name != "RayExecutor":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from nas_lightning.training.ray_executor import RayExecutor

    return RayExecutor
