"""What watches a search: checkpoints and progress."""
