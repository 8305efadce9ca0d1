"""How a space that grows does so: by the number of architectures judged, or when asked."""

from __future__ import annotations

from nas_lightning.controllers.base import Controller
from nas_lightning.search_spaces.base import SearchSpace


def grow(space: SearchSpace, controller: Controller, judged: int) -> None:
    """Have the controller enter the form that the space has after so many judged architectures.

    A controller that grows the space itself is left alone.

    Args:
        space: What is searched.
        controller: What proposes from a form of it.
        judged: Architectures judged so far.
    """
    if controller.grows_the_space:
        return
    now = space.at(judged)
    if len(now.decisions) > len(controller.space.decisions):
        controller.enter(now)
