"""Where metrics go beside the files of a run."""
