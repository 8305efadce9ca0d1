"""What there is to choose from, one line each. `python scripts/list.py`."""

from nas_lightning.commands.list import main

if __name__ == "__main__":
    main()
