"""A saved W&B workspace for the runs of a project: `python scripts/wandb_dashboard.py`."""

from nas_lightning.dashboard import main

if __name__ == "__main__":
    main()
