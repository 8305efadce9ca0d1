"""How soon does learning get there? `python scripts/sample_efficiency.py study=…`."""

from nas_lightning.commands.sample_efficiency import main

if __name__ == "__main__":
    main()
