"""Do shared weights rank as training does? `python scripts/rank_agreement.py study=outputs/…`."""

from nas_lightning.commands.rank_agreement import main

if __name__ == "__main__":
    main()
