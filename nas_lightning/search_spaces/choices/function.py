"""Networks that a user's function builds: for choices that change shapes.

The decisions stand in the configuration; `build(**choices)` gives an ordinary module for each
architecture, which is trained from scratch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from torch import nn

from nas_lightning.data.base import Batch
from nas_lightning.errors import (
    Remedy,
    UserError,
    raised,
    require,
    require_callable,
)
from nas_lightning.search_spaces import Decision
from nas_lightning.search_spaces.base import SearchSpace
from nas_lightning.search_spaces.choices.networks import OwnNetworks
from nas_lightning.search_spaces.choices.outline import extent
from nas_lightning.search_spaces.choices.recipe import seeded
from nas_lightning.search_spaces.choices.task import Loss


class FunctionSpace(SearchSpace):
    """Decisions that a function of the user's own understands.

    Args:
        build: Called with an option for each decision, by name, it gives a module; itself or its
            dotted name. None where no network is trained.
        decisions: Name -> options: words, or whole numbers.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        build: str | Callable[..., nn.Module] | None,
        decisions: Mapping[str, Sequence[str | int]],
    ) -> None:
        if build is not None:
            require_callable("build", build)
        good = isinstance(decisions, Mapping) and len(decisions) > 0
        require(good, "decisions", decisions, "one or more lists of options: {width: [16, 32]}")
        for name, options in decisions.items():
            listed = isinstance(options, (list, tuple)) and len(options) > 0
            listed = listed and all(isinstance(option, (str, int)) for option in options)
            require(
                listed and len(set(options)) == len(options),
                f"decisions.{name}",
                options,
                "one or more words or whole numbers, each once",
            )
        self.build = build
        self._decisions = tuple(
            Decision(str(name), " | ".join(map(str, options)), tuple(options))
            for name, options in decisions.items()
        )

    @property
    def decisions(self) -> tuple[Decision, ...]:  # noqa: D102 (see the base class)
        return self._decisions

    def canonical(self, architecture: Sequence[int]) -> tuple[object, ...]:
        """The architecture itself: what the function makes of it is its own affair."""
        return tuple(int(action) for action in architecture)

    def draw(self, architecture: Sequence[int]) -> str:
        """A line for each decision."""
        return "\n".join(f"{name}: {o}" for name, o in self.describe(architecture).items())

    def require_build(self) -> None:
        """Raise UserError if there is no function, and so nothing to train; says the way out."""
        if self.build is None:
            raise UserError("build=null: there is no function to train", Remedy.A_FUNCTION)

    def built(self, architecture: Sequence[int], seed: int) -> nn.Module:
        """What the function builds for an architecture, its weights drawn from a seed.

        Raises:
            UserError: If there is no function.
            ValueError: If it fails, or gives no module; names the choices.
        """
        self.require_build()
        choices = self.describe(architecture)
        call = f"build({', '.join(f'{name}={option!r}' for name, option in choices.items())})"
        try:
            with seeded(seed):
                built = require_callable("build", self.build)(**choices)
        except Exception as error:  # whatever a user's function raises
            raise ValueError(f"{call} fails ({raised(error)})") from error
        if not isinstance(built, nn.Module):
            raise ValueError(f"{call} gives a {type(built).__name__}, must give a torch.nn.Module")
        return built


class FunctionChild(OwnNetworks):
    """The networks that a function builds. It has weights only after `fresh`.

    Args:
        space: The decisions, and the function.
        num_classes: Classes of the data; 0 where targets are numbers.
        loss: See `Task`.
        metrics: See `Task`.

    Raises:
        ValueError: If loss or metrics cannot be had.
    """

    space: FunctionSpace

    def __init__(
        self,
        *,
        space: FunctionSpace,
        num_classes: int,
        loss: Loss | None,
        metrics: Sequence[str] | None,
    ) -> None:
        super().__init__(space=space, num_classes=num_classes, loss=loss, metrics=metrics)

    def built(self, architecture: Sequence[int], seed: int) -> nn.Module:
        """What the function builds."""
        return self.space.built(architecture, seed)

    def without_weights(self) -> FunctionChild:
        """One of the same settings."""
        return FunctionChild(**self.settings)

    def costs(self, architecture: Sequence[int]) -> dict[str, int]:
        """Parameters; raises ValueError where no network can be built."""
        network = self.built(architecture, seed=0)
        return {"parameters": sum(parameter.numel() for parameter in network.parameters())}

    def preview(self, batch: Batch, *, shared: bool) -> str:
        """How large the space is; refuses to train without a function, and says the way out."""
        self.space.require_build()
        return extent(self.space.decisions, self.space.size)
