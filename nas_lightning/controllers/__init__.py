"""What proposes architectures."""

from nas_lightning.controllers.base import Controller, Policy, Proposal, Rollout, TokenReader
from nas_lightning.controllers.baselines import Baseline, LeaveOneOut, MovingAverage, Permuted
from nas_lightning.controllers.darts import DARTS, GDAS, DrNAS
from nas_lightning.controllers.early_stop import EarlyStop
from nas_lightning.controllers.evolution import Evolution
from nas_lightning.controllers.factorized import FactorizedPolicy
from nas_lightning.controllers.local_search import LocalSearch
from nas_lightning.controllers.lstm import LSTMPolicy
from nas_lightning.controllers.optuna import OptunaSearch
from nas_lightning.controllers.pnas import PNAS
from nas_lightning.controllers.policy import SequentialPolicy
from nas_lightning.controllers.predictor import PredictorSearch
from nas_lightning.controllers.proposer import Judged, Proposer, uniform_words
from nas_lightning.controllers.random import RandomPolicy
from nas_lightning.controllers.reinforce import Reinforce
from nas_lightning.controllers.relaxation import Relaxation
from nas_lightning.controllers.remembering import Remembering

__all__ = [
    "DARTS",
    "GDAS",
    "PNAS",
    "Baseline",
    "Controller",
    "DrNAS",
    "EarlyStop",
    "Evolution",
    "FactorizedPolicy",
    "Judged",
    "LSTMPolicy",
    "LeaveOneOut",
    "LocalSearch",
    "MovingAverage",
    "OptunaSearch",
    "Permuted",
    "Policy",
    "PredictorSearch",
    "Proposal",
    "Proposer",
    "RandomPolicy",
    "Reinforce",
    "Relaxation",
    "Remembering",
    "Rollout",
    "SequentialPolicy",
    "TokenReader",
    "uniform_words",
]
