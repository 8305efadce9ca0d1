"""What can be searched: spaces of architectures and the child networks they stand for."""

from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.child import (
    ACCURACY,
    LOSS,
    MULTIPLY_ADDS,
    PARAMETERS,
    PERPLEXITY,
    ChildNetwork,
    ChildScore,
    Relaxable,
    RelaxedLoss,
)
from nas_lightning.search_spaces.decision import Decision
from nas_lightning.search_spaces.groups import Groups
from nas_lightning.search_spaces.neighbours import neighbours_of
from nas_lightning.search_spaces.written import require_architecture, require_whole_ones

__all__ = [
    "ACCURACY",
    "LOSS",
    "MULTIPLY_ADDS",
    "PARAMETERS",
    "PERPLEXITY",
    "ChildNetwork",
    "ChildScore",
    "Decision",
    "Groups",
    "Relaxable",
    "RelaxedLoss",
    "SearchSpace",
    "neighbours_of",
    "require_architecture",
    "require_whole_ones",
]
