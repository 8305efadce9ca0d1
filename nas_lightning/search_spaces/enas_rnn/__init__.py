"""Recurrent cells (Pham et al. 2018, Efficient Neural Architecture Search, section 2.1)."""

from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild
from nas_lightning.search_spaces.enas_rnn.reference import LSTMReference
from nas_lightning.search_spaces.enas_rnn.space import RecurrentCellSpace

__all__ = ["LSTMReference", "RecurrentCellSpace", "RecurrentChild"]
