"""How an architecture is judged."""

from nas_lightning.estimators.base import Estimator, Evaluation, Phases
from nas_lightning.estimators.from_scratch import FromScratch
from nas_lightning.estimators.function import Function
from nas_lightning.estimators.pairs import Pairs
from nas_lightning.estimators.table import Table
from nas_lightning.estimators.weight_sharing import CosineDecay, WeightSharing

__all__ = [
    "CosineDecay",
    "Estimator",
    "Evaluation",
    "FromScratch",
    "Function",
    "Pairs",
    "Phases",
    "Table",
    "WeightSharing",
]
