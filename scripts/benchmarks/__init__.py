"""What is fast and what is not, measured as ratios in one run."""
