"""A transformer block on the text inside Python: heads, width, activation, place of the norm."""

import re
from pydoc_data.topics import topics

import torch
from torch import nn
from torch.utils.data import TensorDataset

import nas_lightning as nl

TEXT = re.sub("[^a-z]+", " ", "".join(topics[name] for name in sorted(topics)).lower())[:40_000]
LENGTH, WIDTH = 24, 32


class Attention(nn.Module):
    def __init__(self, heads):
        super().__init__()
        self.attention = nn.MultiheadAttention(WIDTH, heads, batch_first=True)

    def forward(self, x):
        return self.attention(x, x, x, need_weights=False)[0]


class Residual(nn.Module):
    def __init__(self, inner, before):
        super().__init__()
        self.inner, self.norm, self.before = inner, nn.LayerNorm(WIDTH), before

    def forward(self, x):
        return x + self.inner(self.norm(x)) if self.before else self.norm(x + self.inner(x))


def feed_forward(inner):
    between = {"relu": nn.ReLU(), "gelu": nn.GELU(), "silu": nn.SiLU()}
    return nn.Sequential(nn.Linear(WIDTH, inner), nl.Choice(between), nn.Linear(inner, WIDTH))


def block(before):
    attention = nl.Choice({f"{heads} heads": Attention(heads) for heads in (1, 2, 4)})
    inner = nl.Choice({f"width {inner}": feed_forward(inner) for inner in (32, 64, 128)})
    return nn.Sequential(Residual(attention, before), Residual(inner, before))


class NextLetter(nn.Module):
    def __init__(self):
        super().__init__()
        self.letters, self.places = nn.Embedding(27, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.block = nl.Choice({"norm before": block(True), "norm after": block(False)})
        self.head = nn.Linear(WIDTH, 27)

    def forward(self, letters):
        return self.head(self.block(self.letters(letters) + self.places.weight)[:, -1])


ids = torch.tensor([" abcdefghijklmnopqrstuvwxyz".index(letter) for letter in TEXT])
windows = ids.unfold(0, LENGTH + 1, 5)  # which overlap: a demonstration, and no benchmark
data = TensorDataset(windows[:, :-1], windows[:, -1])
print(nl.search(NextLetter, data, folder="outputs/text_transformer").draw())
