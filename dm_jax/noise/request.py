"""The inputs of a kind of noise, and the flipping of examples."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """The arguments of `dm_jax.noise.corrupt`, checked, and two uniforms per example.

    An example's uniforms depend on its position and the seed only, so for one seed the examples
    flipped at a lower rate are a subset of those flipped at a higher one.

    Attributes:
      labels: int32 [n], true labels.
      num_classes: C.
      rate: in [0, 1].
      seed: for draws per class rather than per example.
      flip: float64 [n] uniforms that decide whether an example is flipped.
      choice: float64 [n] uniforms that choose among several targets.
      argument: the part of the kind after its colon.
      superclasses: int [C] or None.
      inputs: [n, ...] or None.
      human_labels: name to int [n], or None.
      matrix: [C, C] probabilities, or None.
    """

    labels: np.ndarray
    num_classes: int
    rate: float
    seed: int
    flip: np.ndarray
    choice: np.ndarray
    argument: str = ""
    superclasses: np.ndarray | None = None
    inputs: np.ndarray | None = None
    human_labels: Mapping[str, np.ndarray] | None = None
    matrix: np.ndarray | None = None

    def require_two_classes(self, kind: str) -> None:
        """Raises ValueError if there is no other class to flip to."""
        if self.num_classes < 2:
            raise ValueError(f"kind {kind!r} needs 2 classes or more, got {self.num_classes}")

    def require_rate_zero(self, kind: str, source: str) -> None:
        """Raises ValueError if a rate is given although `source` determines the rate."""
        if self.rate != 0.0:
            raise ValueError(
                f"rate must be 0 for kind {kind!r}, whose {source} determines it; got {self.rate}"
            )

    def flip_to(self, target: np.ndarray, rates: np.ndarray | None = None) -> np.ndarray:
        """`target` [n] where an example is flipped (with probability `rates` [n] or `rate`)."""
        return np.where(self.flip < (self.rate if rates is None else rates), target, self.labels)
