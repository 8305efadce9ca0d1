"""How many evaluations does a way of learning take? `python scripts/evaluations.py study=…`."""

from nas_lightning.evaluations import main

if __name__ == "__main__":
    main()
