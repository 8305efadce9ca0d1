"""Every arm's cells under every arm's weights: `python scripts/cross_evaluate.py study=…`."""

from nas_lightning.commands.cross_evaluate import main

if __name__ == "__main__":
    main()
