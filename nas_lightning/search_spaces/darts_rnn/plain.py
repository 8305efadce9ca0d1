"""A language model around one recurrent cell of DARTS, in plain PyTorch.

It needs torch and nothing else: `nas-lightning export` writes this file out, with an architecture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

OPERATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "identity": lambda x: x,
}


class DartsCell(nn.Module):
    """One time step of a cell of N nodes, each of which reads a state before it through a gate.

    State 0 is made of the input and the previous hidden state, by tanh. With s what a node reads,
    and W its linear layer:

        gate, candidate = W s        out = s + sigmoid(gate) * (operation(candidate) - s)

    The output, which is the next hidden state, is the average of the nodes.

    Args:
        reads: For every node the state that it reads: 0, or the number of a node before it.
        operations: The nodes' operations.
        hidden_size: Units of the input, of the state and of every node, H.
        batch_norm: Whether each state is normalised over the batch, by its own statistics.
    """

    def __init__(
        self,
        *,
        reads: Sequence[int],
        operations: Sequence[str],
        hidden_size: int,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.reads = list(reads)
        self.operations = list(operations)
        self.batch_norm = batch_norm
        self.from_input = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.from_state = nn.Linear(hidden_size, 2 * hidden_size, bias=False)
        self.nodes = nn.ModuleList(
            nn.Linear(hidden_size, 2 * hidden_size, bias=False) for _ in self.reads
        )

    def forward(self, x: Tensor, state: Tensor) -> Tensor:
        """Output and next state `(B, H)` of an input and the state before it."""
        first = self.from_input(x) + self.from_state(state)
        states = [self.node(first, state, "tanh")]
        for linear, read, operation in zip(self.nodes, self.reads, self.operations, strict=True):
            states.append(self.node(linear(states[read]), states[read], operation))
        return torch.stack(states[1:]).mean(dim=0)

    def node(self, both: Tensor, read: Tensor, operation: str) -> Tensor:
        """A node `(B, H)` of its gate and candidate `(B, 2H)`, and of what it reads `(B, H)`."""
        gate, candidate = both.chunk(2, dim=-1)
        out = torch.lerp(read, OPERATIONS[operation](candidate), torch.sigmoid(gate))
        if not self.batch_norm:
            return out
        variance, mean = torch.var_mean(out, dim=0, keepdim=True, correction=0)
        return (out - mean) * torch.rsqrt(variance + 1e-5)


class DartsLanguageModel(nn.Module):
    """Embedding, a recurrent cell, and the embedding again as decoder.

    Args:
        reads: See `DartsCell`.
        operations: See `DartsCell`.
        vocabulary_size: Tokens in the vocabulary, V.
        hidden_size: Units of the embedding and of the state, H.
        batch_norm: See `DartsCell`.
    """

    def __init__(
        self,
        *,
        reads: Sequence[int],
        operations: Sequence[str],
        vocabulary_size: int,
        hidden_size: int,
        batch_norm: bool,
    ) -> None:
        super().__init__()
        self.arguments = {
            "reads": list(reads),
            "operations": list(operations),
            "vocabulary_size": vocabulary_size,
            "hidden_size": hidden_size,
            "batch_norm": batch_norm,
        }
        self.embedding = nn.Embedding(vocabulary_size, hidden_size)
        self.cell = DartsCell(
            reads=reads, operations=operations, hidden_size=hidden_size, batch_norm=batch_norm
        )
        self.decoder = nn.Linear(hidden_size, vocabulary_size)
        self.decoder.weight = self.embedding.weight
        self.prepare(vocabulary=[], level="word", words=None, lower_case=False)

    def prepare(
        self, *, vocabulary: Sequence[str], level: str, words: str | None, lower_case: bool
    ) -> None:
        """Say how text becomes tokens.

        Args:
            vocabulary: The tokens; a token's id is its place.
            level: What a token is: `word`, of which the end of a line is one, or `character`.
            words: What a word is, as a regular expression; None where that is not known, and
                `encode` takes tokens only.
            lower_case: Whether words are in lower case.
        """
        self.preparation = {
            "vocabulary": list(vocabulary),
            "level": level,
            "words": words,
            "lower_case": lower_case,
        }
        self.vocabulary = list(vocabulary)
        self.level, self.words, self.lower_case = level, words, lower_case
        self._ids = {token: number for number, token in enumerate(self.vocabulary)}

    def forward(self, tokens: Tensor, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Read tokens; what comes next is given by the softmax of the logits.

        Args:
            tokens: Their ids, int64 `(B, L)`.
            state: What the call on the tokens before them returned `(B, H)`, or None.

        Returns:
            Logits of the next token at every place `(B, L, V)`, and the state `(B, H)`.
        """
        embedded = self.embedding(tokens)
        if state is None:
            state = torch.zeros_like(embedded[:, 0])
        outputs = []
        for x in embedded.unbind(dim=1):
            state = self.cell(x, state)
            outputs.append(state)
        assert state is not None
        return self.decoder(torch.stack(outputs, dim=1)), state

    def encode(self, text: str | Sequence[str]) -> Tensor:
        """The ids of a text, or of its tokens: int64 `(1, L)`; what is unknown is `<unk>`."""
        if not self.vocabulary:
            raise ValueError("there is no vocabulary: give one by prepare(…)")
        tokens = self._tokens(text) if isinstance(text, str) else text
        unknown = self._ids["<unk>"]
        return torch.tensor([[self._ids.get(token, unknown) for token in tokens]])

    def decode(self, ids: Tensor | Sequence[int]) -> str:
        """The text of ids `(L,)` or `(1, L)`, words with a space between them."""
        numbers = torch.as_tensor(ids).flatten().tolist()
        tokens = [self.vocabulary[number] for number in numbers]
        if self.level == "character":
            return "".join(tokens)
        return re.sub(" ?<eos> ?", "\n", " ".join(tokens))

    @torch.no_grad()
    def generate(self, text: str, n: int, seed: int = 0) -> str:
        """How a text goes on: n tokens, each drawn given those before it.

        Args:
            text: What comes before, a token or more.
            n: How many tokens.
            seed: Of what is drawn.
        """
        ids = self.encode(text).to(self.embedding.weight.device)
        if ids.numel() == 0:
            raise ValueError(f"text={text!r} is not allowed: must hold a token or more")
        generator = torch.Generator().manual_seed(seed)
        drawn: list[int] = []
        state = None
        for _ in range(n):
            logits, state = self(ids, state)
            probabilities = logits[0, -1].softmax(dim=0).cpu()
            drawn.append(int(torch.multinomial(probabilities, 1, generator=generator)))
            ids = torch.tensor([[drawn[-1]]], device=ids.device)
        return self.decode(drawn)

    def example_inputs(self) -> tuple[Tensor, ...]:
        """One time step of two texts: what `forward` is traced with."""
        return torch.zeros(2, 1, dtype=torch.int64), torch.zeros(2, self.embedding.embedding_dim)

    def _tokens(self, text: str) -> list[str]:
        if self.level == "character":
            return list(text)
        if self.words is None:
            raise ValueError("what a word is is not known: give encode a list of tokens")
        *lines, rest = text.lower().split("\n") if self.lower_case else text.split("\n")
        ended = [token for line in lines for token in (*re.findall(self.words, line), "<eos>")]
        return ended + re.findall(self.words, rest)
