"""Data sets: minibatches by number from three splits that never mix."""
