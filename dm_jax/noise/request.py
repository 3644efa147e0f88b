"""What a kind of noise may look at, and the one place where an example is flipped."""

import dataclasses
from collections.abc import Mapping

import numpy as np


@dataclasses.dataclass(frozen=True, eq=False)
class Request:
    """The arguments of `dm_jax.noise.corrupt`, checked, and two uniforms per example.

    An example's uniforms depend on its position and the seed only. So with one seed the examples
    flipped at a lower rate are a part of those flipped at a higher one.

    Attributes:
      labels: int32 [n], true.
      num_classes: C.
      rate: in [0, 1].
      seed: for draws that belong to classes, not to examples.
      flip: float64 [n] uniforms that decide whether an example is flipped.
      choice: float64 [n] uniforms that choose among several targets.
      argument: what stands behind the colon of the kind.
      superclasses: int [C] or None.
      inputs: [n, ...] or None.
      human_labels: name to int [n], or None.
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

    def flip_to(self, target: np.ndarray, rates: np.ndarray | None = None) -> np.ndarray:
        """The target [n] where flipped, with probability `rate` or its own of `rates` [n]."""
        return np.where(self.flip < (self.rate if rates is None else rates), target, self.labels)
