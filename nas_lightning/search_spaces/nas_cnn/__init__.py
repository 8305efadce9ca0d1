"""Convolutional networks, layer by layer (Zoph & Le 2017, section 4.1)."""
