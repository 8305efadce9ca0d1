"""A metric of one's own, of which less is better: the cells' language model counts bits."""

import math

from torch import Tensor

from nas_lightning.metrics import Metric
from nas_lightning.search_spaces.child import ChildScore
from nas_lightning.search_spaces.enas_rnn.network import RecurrentChild

BITS = Metric(name="bits_per_token", unit="bits", direction="less")


class BitsChild(RecurrentChild):
    """As `RecurrentChild`; the reference beside it counts as it does."""

    metrics = (*RecurrentChild.metrics, BITS)

    def measure(self, score: ChildScore) -> dict[str, Tensor]:
        bits = score.loss_sum / score.count / math.log(2)
        return {**super().measure(score), BITS.name: bits}
