"""Many runs: read once, named by their arms, and compared."""
