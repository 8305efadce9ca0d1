"""What proposes architectures."""

from nas_lightning.controllers.base import Controller, Policy, Proposal, Rollout, TokenReader
from nas_lightning.controllers.baselines import Baseline, LeaveOneOut, MovingAverage, Permuted
from nas_lightning.controllers.darts import DARTS, GDAS, DrNAS
from nas_lightning.controllers.early_stop import EarlyStop
from nas_lightning.controllers.evolution import Evolution
from nas_lightning.controllers.factorized import FactorizedPolicy
from nas_lightning.controllers.local_search import LocalSearch
from nas_lightning.controllers.lstm import LSTMPolicy
from nas_lightning.controllers.policy import SequentialPolicy
from nas_lightning.controllers.random import RandomPolicy
from nas_lightning.controllers.reinforce import Reinforce
from nas_lightning.controllers.relaxation import Relaxation

__all__ = [
    "DARTS",
    "GDAS",
    "Baseline",
    "Controller",
    "DrNAS",
    "EarlyStop",
    "Evolution",
    "FactorizedPolicy",
    "LSTMPolicy",
    "LeaveOneOut",
    "LocalSearch",
    "MovingAverage",
    "Permuted",
    "Policy",
    "Proposal",
    "RandomPolicy",
    "Reinforce",
    "Relaxation",
    "Rollout",
    "SequentialPolicy",
    "TokenReader",
]
