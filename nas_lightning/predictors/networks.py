"""The two networks of PNAS (Liu et al. 2018, section 4.2): an MLP over the mean embedding, an LSTM.

A decision is read as the sum of two embeddings, of the option of its kind, which a new layer or
node shares with those before, and of the option at its place. Values are standardised; the loss is
their absolute error.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from nas_lightning.errors import require_number, require_whole
from nas_lightning.predictors.base import Prediction, Predictor, require_points
from nas_lightning.search_spaces.base import SearchSpace


class Network(Predictor):
    """A network that is trained anew at every fit. By itself it has no spread: it is 0.

    Args:
        space: Whose architectures are predicted.
        hidden_size: Units.
        embedding_size: Width of a decision's embedding.
        lr: Of Adam.
        epochs: Passes over what was judged.
        batch_size: Architectures of a step.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        space: SearchSpace,
        hidden_size: int,
        embedding_size: int,
        lr: float,
        epochs: int,
        batch_size: int,
    ) -> None:
        require_whole("hidden_size", hidden_size, at_least=1)
        require_whole("embedding_size", embedding_size, at_least=1)
        require_number("lr", lr, above=0)
        require_whole("epochs", epochs, at_least=1)
        require_whole("batch_size", batch_size, at_least=1)
        self.space = space
        self.hidden_size = hidden_size
        self.embedding_size = embedding_size
        self.lr = lr
        self.epochs = epochs
        self.batch_size = batch_size
        self._network: nn.Module | None = None

    def fit(self, architectures: Tensor, values: Tensor, generator: torch.Generator) -> None:
        """See the base class."""
        require_points(values)
        self._mean, self._std = values.mean(), values.std().clamp_min(1e-12)
        targets = ((values - self._mean) / self._std).float()
        seed = int(torch.randint(2**31, (), generator=generator))
        # Torch's layers are drawn from the global generator, which is left as it was.
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            network = nn.Sequential(Embedding(self.space, self.embedding_size), self._reader())
            optimizer = torch.optim.Adam(network.parameters(), lr=self.lr)
            for _ in range(self.epochs):
                for rows in torch.randperm(len(values)).split(self.batch_size):
                    optimizer.zero_grad()
                    error = network(architectures[rows]).squeeze(1) - targets[rows]
                    error.abs().mean().backward()
                    optimizer.step()
        self._network = network

    @torch.no_grad()
    def predict(self, architectures: Tensor) -> Prediction:
        """See the base class."""
        assert self._network is not None
        parts = [self._network(rows) for rows in architectures.split(4096)]
        mean = torch.cat(parts).squeeze(1).double() * self._std + self._mean
        return Prediction(mean, torch.zeros_like(mean))

    @abstractmethod
    def _reader(self) -> nn.Module:
        """From embeddings `(M, t, E)` and which of them are there `(M, t)` to a number `(M, 1)`."""


class MLP(Network):
    """One hidden layer over the mean of the decisions' embeddings."""

    def _reader(self) -> nn.Module:
        layers = nn.Linear(self.embedding_size, self.hidden_size), nn.ReLU()
        return nn.Sequential(Mean(), *layers, nn.Linear(self.hidden_size, 1))


class LSTM(Network):
    """An LSTM reads one decision after the other; its last output counts."""

    def _reader(self) -> nn.Module:
        return Last(self.embedding_size, self.hidden_size)


class Embedding(nn.Module):
    """Embeddings of decisions, and which have been made.

    Args:
        space: Whose decisions they are.
        size: Width, E.
    """

    def __init__(self, space: SearchSpace, size: int) -> None:
        super().__init__()
        decisions = space.largest.decisions
        kinds = {(d.kind, choice): 0 for d in decisions for choice in d.choices}
        number = {name: i + 1 for i, name in enumerate(kinds)}  # 0: none made
        most = max(len(d.choices) for d in decisions)
        rows = [[0, *(number[d.kind, choice] for choice in d.choices)] for d in decisions]
        self.kinds = torch.tensor([row + [0] * (most + 1 - len(row)) for row in rows])
        self.places = torch.arange(len(decisions)).unsqueeze(1) * (most + 1)
        self.of_kind = nn.Embedding(len(number) + 1, size)
        self.of_place = nn.Embedding(len(decisions) * (most + 1), size)

    def forward(self, architectures: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `(M, T, E)` and booleans `(M, T)`."""
        whole = pad(architectures, (0, len(self.kinds) - architectures.shape[1]), value=-1)
        options = (whole + 1).T  # (T, M)
        found = self.of_kind(self.kinds.gather(1, options)) + self.of_place(self.places + options)
        return found.transpose(0, 1), whole >= 0


class Mean(nn.Module):
    """The mean over the decisions that have been made."""

    def forward(self, read: tuple[Tensor, Tensor]) -> Tensor:
        """`(M, E)`."""
        embeddings, made = read
        weights = made.float() / made.sum(dim=1, keepdim=True).clamp_min(1)
        return torch.einsum("mte,mt->me", embeddings, weights)


class Last(nn.Module):
    """An LSTM, and a number from its output at the last decision that has been made."""

    def __init__(self, embedding_size: int, hidden_size: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(embedding_size, hidden_size, batch_first=True)
        self.head = nn.Linear(hidden_size, 1)

    def forward(self, read: tuple[Tensor, Tensor]) -> Tensor:
        """`(M, 1)`."""
        embeddings, made = read
        outputs, _ = self.lstm(embeddings)
        last = (made.sum(dim=1) - 1).clamp_min(0)
        number: Tensor = self.head(outputs[torch.arange(len(last)), last])
        return number
