"""A saved W&B workspace for the runs of a project: `python scripts/wandb_workspace.py`."""

from nas_lightning.commands.wandb_workspace import main

if __name__ == "__main__":
    main()
