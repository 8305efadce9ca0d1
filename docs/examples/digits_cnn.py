"""A convolutional network with choices on the digits, searched under shared weights."""

import torch
import torch.nn.functional as F
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import nas_lightning as nl


class Block(nn.Module):
    """A residual block whose operation is to be found."""

    def __init__(self, width):
        super().__init__()
        self.operation = nl.Choice(
            {
                "3x3": nn.Conv2d(width, width, 3, padding=1),
                "5x5": nn.Conv2d(width, width, 5, padding=2),
                "pool": nn.MaxPool2d(3, stride=1, padding=1),
                "skip": nn.Identity(),
            }
        )
        self.norm = nn.GroupNorm(4, width)

    def forward(self, x):
        return x + self.norm(self.operation(x)).relu()


class Net(nn.Module):
    def __init__(self, width=16, depth=4):
        super().__init__()
        self.stem = nn.Conv2d(1, width, 3, padding=1)
        self.blocks = nl.Repeat(lambda: Block(width), at_most=depth)
        self.pool = nl.Choice({"mean": nn.AdaptiveAvgPool2d(1), "max": nn.AdaptiveMaxPool2d(1)})
        self.classifier = nn.Linear(width, 10)

    def forward(self, images):
        return self.classifier(self.pool(self.blocks(self.stem(images))).flatten(1))


digits = load_digits()
images = torch.tensor(digits.images, dtype=torch.float32).unsqueeze(1) / 16
data = TensorDataset(images, torch.tensor(digits.target))

nl.space(Net, images[:8])
run = nl.search(Net, data, controller="lstm", folder="outputs/digits_cnn")
print(run.draw())

network = run.network().train()  # an ordinary module, with its shared weights
optimizer = torch.optim.Adam(network.parameters(), lr=1e-3)
for batch, classes in DataLoader(data, batch_size=64, shuffle=True):
    optimizer.zero_grad()
    loss = F.cross_entropy(network(batch), classes)
    loss.backward()
    optimizer.step()
print(f"loss of the last minibatch {loss.item():.3f}")
