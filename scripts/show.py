"""What a run has found so far, also while it runs. `python scripts/show.py`."""

from nas_lightning.commands.show import main

if __name__ == "__main__":
    main()
