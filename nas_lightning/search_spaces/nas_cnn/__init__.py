"""Convolutional networks, layer by layer (Zoph & Le 2017, section 4.1)."""

from nas_lightning.search_spaces.nas_cnn.network import ConvolutionalChild
from nas_lightning.search_spaces.nas_cnn.reference import PlainReference, PlainReferenceOfParameters
from nas_lightning.search_spaces.nas_cnn.space import ConvolutionalSpace

__all__ = [
    "ConvolutionalChild",
    "ConvolutionalSpace",
    "PlainReference",
    "PlainReferenceOfParameters",
]
