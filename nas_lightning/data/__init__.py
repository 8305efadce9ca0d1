"""What is searched on: texts and images."""

from nas_lightning.data.base import Batch, Data
from nas_lightning.data.image_files import ImageFiles
from nas_lightning.data.image_sources import Cifar10, Digits, IdxImages
from nas_lightning.data.images import ImageData
from nas_lightning.data.text import TextData
from nas_lightning.data.text_sources import PennTreebank, PythonDocs, TextFiles
from nas_lightning.data.vocabulary import Vocabulary

__all__ = [
    "Batch",
    "Cifar10",
    "Data",
    "Digits",
    "IdxImages",
    "ImageData",
    "ImageFiles",
    "PennTreebank",
    "PythonDocs",
    "TextData",
    "TextFiles",
    "Vocabulary",
]
