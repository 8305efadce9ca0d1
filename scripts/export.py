"""The network that a run has found, for other programs: `python scripts/export.py RUN`."""

from nas_lightning.commands.export import main

if __name__ == "__main__":
    main()
