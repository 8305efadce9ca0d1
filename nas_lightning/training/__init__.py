"""Training children from scratch: the plain loop, and where it runs."""
