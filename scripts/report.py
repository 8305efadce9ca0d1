"""The page of a run or a study: `python scripts/report.py outputs/…`."""

from nas_lightning.commands.report import main

if __name__ == "__main__":
    main()
