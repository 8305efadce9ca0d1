"""Self-supervised losses of a controller, on stored or uniform architectures."""

from nas_lightning.memories.base import Memory
from nas_lightning.memories.metric import Metric
from nas_lightning.memories.none import NoMemory
from nas_lightning.memories.reconstruction import Reconstruction
from nas_lightning.memories.replay import Replay
from nas_lightning.memories.replay_as_published import ReplayAsPublished
from nas_lightning.memories.states import StateMemory

__all__ = [
    "Memory",
    "Metric",
    "NoMemory",
    "Reconstruction",
    "Replay",
    "ReplayAsPublished",
    "StateMemory",
]
