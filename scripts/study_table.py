"""A study's numbers side by side: `python scripts/study_table.py study=outputs/…`."""

from nas_lightning.commands.study_table import main

if __name__ == "__main__":
    main()
