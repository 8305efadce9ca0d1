"""What is installed, what is found, what is missing. `python scripts/doctor.py`."""

from nas_lightning.commands.doctor import main

if __name__ == "__main__":
    main()
