"""Named random generators: everything random in a run is drawn from one of them.

Each is seeded by the run's seed and its own name, so that what one consumer draws never shifts
what another one sees: two runs of one seed with different controllers share their initial weights
and the order of their data.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


class Generators:
    """The generators of one run.

    Args:
        seed: The run's seed.
    """

    def __init__(self, seed: int) -> None:
        self.seed = seed
        self._generators: dict[tuple[str, str], torch.Generator] = {}

    def __call__(self, name: str, device: torch.device | str = "cpu") -> torch.Generator:
        """The generator of this name on this device; made at its first use."""
        key = (name, torch.device(device).type)
        if key not in self._generators:
            generator = torch.Generator(device)
            generator.manual_seed(seed_of(self.seed, *key))
            self._generators[key] = generator
        return self._generators[key]

    def constant(self, name: str) -> torch.Generator:
        """A generator on the CPU that starts the same way whenever it is asked for."""
        return torch.Generator().manual_seed(seed_of(self.seed, name, "constant"))

    def state_dict(self) -> dict[str, Tensor]:
        """The state of every generator used so far, under `name@device`."""
        return {f"{n}@{d}": g.get_state() for (n, d), g in self._generators.items()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Continue every stream of random numbers where `state_dict` found it."""
        for key, value in state.items():
            name, _, device = key.rpartition("@")
            self(name, device).set_state(value.cpu())


def seed_of(*parts: object) -> int:
    """A seed of 63 bits that depends on all parts, the same in every process and version."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
