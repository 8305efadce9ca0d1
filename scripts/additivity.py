"""How much of a table do single decisions explain? `python scripts/additivity.py`."""

from nas_lightning.commands.additivity import main

if __name__ == "__main__":
    main()
