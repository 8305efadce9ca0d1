"""Pictures. Made without pyplot, whose global state would outlive a run."""

from __future__ import annotations

from matplotlib.figure import Figure
from torch import Tensor


def heat_map(states: Tensor, *, title: str) -> Figure:
    """The hidden states of many architectures, a row each, as in Adam & Lorraine 2019.

    Equal rows mean that the controller does not remember which architecture it was fed.

    Args:
        states: `(M, H)`, each unit between -1 and 1.
        title: What the rows are.
    """
    figure = Figure(figsize=(6, 5))  # laid out by default, which is faster
    axes = figure.add_subplot()
    image = axes.imshow(
        states.detach().cpu().numpy(), vmin=-1, vmax=1, cmap="RdBu_r", interpolation="nearest"
    )
    axes.set(xlabel="unit", ylabel="architecture", title=title)
    figure.colorbar(image, label="hidden state")
    return figure
