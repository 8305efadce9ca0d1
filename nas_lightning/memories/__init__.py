"""Memories of past architectures, for a self-supervised loss of the controller."""
