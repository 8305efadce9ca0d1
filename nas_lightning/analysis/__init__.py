"""What a search has learned, measured: pure functions of architectures, states, probabilities.

They know no controller and no search, and draw nothing but from the generator they are given.
"""
