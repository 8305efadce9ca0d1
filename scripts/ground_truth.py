"""Every architecture of a small space, trained: `python scripts/ground_truth.py`."""

from nas_lightning.commands.ground_truth import main

if __name__ == "__main__":
    main()
