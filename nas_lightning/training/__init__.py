"""Training children from scratch: the plain loop, and where it runs."""

from nas_lightning.training.child_training import ChildResult, ChildTraining, TrainingState
from nas_lightning.training.executors import ChildJob, Executor, LocalExecutor
from nas_lightning.training.ray_executor import RayExecutor

__all__ = [
    "ChildJob",
    "ChildResult",
    "ChildTraining",
    "Executor",
    "LocalExecutor",
    "RayExecutor",
    "TrainingState",
]
