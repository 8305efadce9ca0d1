"""One run on the disk: its folder, its records, its checkpoints, and what has become of it."""
