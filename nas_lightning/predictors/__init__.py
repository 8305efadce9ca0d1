"""What predicts how good an architecture is from those that were judged."""

from nas_lightning.predictors.base import Prediction, Predictor
from nas_lightning.predictors.ensemble import Ensemble
from nas_lightning.predictors.forest import Forest
from nas_lightning.predictors.networks import LSTM, MLP
from nas_lightning.predictors.ridge import Ridge

__all__ = ["LSTM", "MLP", "Ensemble", "Forest", "Prediction", "Predictor", "Ridge"]
