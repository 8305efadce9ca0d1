"""Searches whose keys are chosen by Optuna: `python scripts/tune.py KEY=interval(a,b) …`."""

from nas_lightning.commands.tune import main

if __name__ == "__main__":
    main()
