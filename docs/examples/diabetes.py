"""Tabular regression: depth and width of a network for scikit-learn's diabetes data.

A width changes shapes, so that no weights can be shared: a function builds each network, which is
trained from scratch.
"""

import torch
from sklearn.datasets import load_diabetes
from torch import nn
from torch.utils.data import TensorDataset

import nas_lightning as nl


def build(depth, width, activation):
    """A network for each architecture."""
    between = {"relu": nn.ReLU, "tanh": nn.Tanh}[activation]
    layers, inputs = [], 10
    for _ in range(depth):
        layers += [nn.Linear(inputs, width), between()]
        inputs = width
    return nn.Sequential(*layers, nn.Linear(inputs, 1))


def standard(x):
    return (x - x.mean(dim=0)) / x.std(dim=0)


def diabetes():
    """Inputs and targets with mean 0 and standard deviation 1."""
    found = load_diabetes()
    arrays = (torch.tensor(array, dtype=torch.float32) for array in (found.data, found.target))
    return TensorDataset(*map(standard, arrays))


run = nl.search(
    "function",
    "regression",
    controller="evolution",
    folder="outputs/diabetes",
    overrides={
        "search_space.build": build,
        "search_space.decisions": {
            "depth": [0, 1, 2, 3],
            "width": [4, 8, 16, 32],
            "activation": ["relu", "tanh"],
        },
        "data.source.dataset": diabetes,
        "data.validation_size": 80,
        "data.test_size": 80,
        "data.batch_size": 32,
        "child.metrics": ["R2Score"],
        "reward": "objective",
        "controller.population": 10,
        "controller.sample": 3,
    },
)
run = run.retrain(seeds=(0, 1, 2))
print(run.final["decisions"])
print("R² on the test split:", [round(of_seed["r2_score"], 3) for of_seed in run.final["test"]])
