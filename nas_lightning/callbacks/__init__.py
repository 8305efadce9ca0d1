"""What looks on while a search runs: records, checkpoints, analyses."""

from nas_lightning.callbacks.analysis import Analysis
from nas_lightning.callbacks.best import BestArchitecture
from nas_lightning.callbacks.checkpoint import AtomicCheckpointIO, SaveSearch
from nas_lightning.callbacks.diversity import Diversity
from nas_lightning.callbacks.heat_maps import HeatMaps
from nas_lightning.callbacks.hidden_states import HiddenStates
from nas_lightning.callbacks.probes import Probes
from nas_lightning.callbacks.progress import SearchProgress
from nas_lightning.callbacks.relaxation import LookAtWeights
from nas_lightning.callbacks.similarity import Similarity
from nas_lightning.callbacks.table import LookAtTable

__all__ = [
    "Analysis",
    "AtomicCheckpointIO",
    "BestArchitecture",
    "Diversity",
    "HeatMaps",
    "HiddenStates",
    "LookAtTable",
    "LookAtWeights",
    "Probes",
    "SaveSearch",
    "SearchProgress",
    "Similarity",
]
