"""Multilayer perceptron: Table 5 classifies paragraph vectors with one hidden layer of 8."""

import numbers

import flax.linen as nn
import jax

from dm_jax.dtypes import at_least_float32
from dm_jax.models.network import Network


class MLP(Network, kw_only=True):
    """Linear layers with ReLU between them, weights as of Caffe's "xavier" and zero biases.

    Caffe fills uniformly with variance 1 / fan-in; Glorot and Bengio take the mean of both fans.

    Inputs are flattened to [B, d]; the features are the last hidden layer. There are no batch
    statistics, so `where` has no effect.

    Attributes:
      hidden: sizes of the hidden layers; () is a linear classifier.
    """

    hidden: tuple[int, ...] = (8,)

    kernel_init = staticmethod(nn.initializers.lecun_uniform())

    def __post_init__(self) -> None:
        if not isinstance(self.hidden, tuple | list):
            raise TypeError(f"hidden takes a tuple of sizes, such as (8,), got {self.hidden!r}")
        if any(not isinstance(size, numbers.Integral) or size < 1 for size in self.hidden):
            raise ValueError(f"hidden takes positive integers, got {self.hidden}")
        super().__post_init__()

    def embed(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        """The units of the last hidden layer, or the flattened input if there is none."""
        del train, where
        x = x.reshape(x.shape[0], -1)
        for size in self.hidden:
            dense = nn.Dense(
                size,
                dtype=self.dtype,
                param_dtype=at_least_float32(self.dtype),
                kernel_init=self.kernel_init,
            )
            x = nn.relu(dense(x))
        return x
