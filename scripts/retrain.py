"""Retrain a search's best architecture: `python scripts/retrain.py run=outputs/…`."""

from nas_lightning.commands.retrain import main

if __name__ == "__main__":
    main()
