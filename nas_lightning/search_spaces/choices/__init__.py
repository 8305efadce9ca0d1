"""A user's own model as a search space: modules with choices, or a function that builds them."""

from nas_lightning.search_spaces.choices.function import FunctionChild, FunctionSpace
from nas_lightning.search_spaces.choices.network import ChoiceChild
from nas_lightning.search_spaces.choices.parts import Choice, Repeat, deciding
from nas_lightning.search_spaces.choices.space import ChoiceSpace
from nas_lightning.search_spaces.choices.table import SpaceTable, space_table

__all__ = [
    "Choice",
    "ChoiceChild",
    "ChoiceSpace",
    "FunctionChild",
    "FunctionSpace",
    "Repeat",
    "SpaceTable",
    "deciding",
    "space_table",
]
