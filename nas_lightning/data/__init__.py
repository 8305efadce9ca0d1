"""What is searched on: sources, which are read, and loaders, which make batches of them."""

from nas_lightning.data.base import Batch, Data
from nas_lightning.data.image_files import ImageFiles
from nas_lightning.data.image_sources import Cifar10, Digits, IdxImages
from nas_lightning.data.images import ImageData
from nas_lightning.data.sources import ImageSource, ImageSplits, Source, Splits, TextSource
from nas_lightning.data.tensors import DatasetData, DatasetSource, RegressionData
from nas_lightning.data.text import TextData
from nas_lightning.data.text_sources import PennTreebank, PythonDocs, TextFiles
from nas_lightning.data.vocabulary import Vocabulary

__all__ = [
    "Batch",
    "Cifar10",
    "Data",
    "DatasetData",
    "DatasetSource",
    "Digits",
    "IdxImages",
    "ImageData",
    "ImageFiles",
    "ImageSource",
    "ImageSplits",
    "PennTreebank",
    "PythonDocs",
    "RegressionData",
    "Source",
    "Splits",
    "TextData",
    "TextFiles",
    "TextSource",
    "Vocabulary",
]
