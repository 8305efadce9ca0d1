"""Where metrics go beside the files of a run."""

from nas_lightning.loggers.wandb_logger import WandbLogger

__all__ = ["WandbLogger"]
