"""When a relaxed search has gone wrong: its curvature grows, or it derives ever more skips.

Zela et al. 2020, "Understanding and Robustifying Differentiable Architecture Search": the greatest
eigenvalue of the Hessian of the validation loss in the logits grows before the derived architecture
becomes bad. Where its local average has grown by a factor, the search goes back to the architecture
that it had before.
"""

from __future__ import annotations

from collections.abc import Sequence

from nas_lightning.errors import require, require_bool, require_number, require_whole


class EarlyStop:
    """Rules, on measurements that are taken while the search runs.

    Args:
        measurements: How many are taken an epoch; 0 for none. The rule needs about
            `start + delta + window` of them.
        examples: Rows of the first validation minibatch on which the eigenvalue is measured; None
            for all.
        window: Measurements of which a local average is taken.
        start: First measurement, counted from 0, to which the search may go back.
        delta: Measurements between the two local averages that are compared.
        factor: By how much the later average must be greater; None to look at skips alone.
        skips: Names of the options that count as skips.
        max_skips: More of them in the derived architecture stop the search; None for any number.
        simulate: Whether it only says where it would have stopped.

    Raises:
        ValueError: If an argument is outside what is allowed.
    """

    def __init__(
        self,
        *,
        measurements: int,
        examples: int | None,
        window: int,
        start: int,
        delta: int,
        factor: float | None,
        skips: Sequence[str],
        max_skips: int | None,
        simulate: bool,
    ) -> None:
        require_whole("measurements", measurements, at_least=0)
        if examples is not None:
            require_whole("examples", examples, at_least=1)
        require_whole("window", window, at_least=1)
        require_whole("start", start, at_least=0)
        require_whole("delta", delta, at_least=1)
        if factor is not None:
            require_number("factor", factor, above=1)
        good = isinstance(skips, (list, tuple)) and all(isinstance(name, str) for name in skips)
        require(good, "skips", skips, "a list [...] of names of options")
        if max_skips is not None:
            require_whole("max_skips", max_skips, at_least=0)
        require_bool("simulate", simulate)
        self.measurements = measurements
        self.examples = examples
        self.window = window
        self.start = start
        self.delta = delta
        self.factor = factor
        self.skips = frozenset(skips)
        self.max_skips = max_skips
        self.simulate = simulate

    def count(self, options: Sequence[str]) -> int:
        """How many of the options that an architecture takes are skips."""
        return sum(name in self.skips for name in options)

    def goes_back_to(self, eigenvalues: Sequence[float], skips: Sequence[int]) -> int | None:
        """The measurement to whose architecture the search goes back now; None to go on.

        Args:
            eigenvalues: All that were measured so far.
            skips: How many skips were derived, at each measurement.
        """
        if self.max_skips is not None and skips[-1] > self.max_skips:
            good = [n for n, count in enumerate(skips) if count <= self.max_skips]
            return good[-1] if good else 0
        return self._by_eigenvalue(eigenvalues)

    def _by_eigenvalue(self, eigenvalues: Sequence[float]) -> int | None:
        """The local averages now and `delta` measurements ago, each centred in its window."""
        now = len(eigenvalues)
        centre = now - 1 - self.window // 2 - self.delta
        if self.factor is None or centre < self.start or now < self.window + self.delta:
            return None
        later = sum(eigenvalues[now - self.window :]) / self.window
        end = now - self.delta
        earlier = sum(eigenvalues[end - self.window : end]) / self.window
        grown = later > self.factor * earlier if earlier > 0 else False
        return centre if grown else None
