"""Recurrent cells of DARTS (Liu et al. 2019), which can be relaxed."""

from nas_lightning.search_spaces.darts_rnn.network import DartsChild
from nas_lightning.search_spaces.darts_rnn.space import DartsCellSpace

__all__ = ["DartsCellSpace", "DartsChild"]
