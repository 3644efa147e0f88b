"""The Inception module of GoogLeNet and of BN-Inception: parallel branches, concatenated."""

from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp

from dm_jax.models.layers import max_pool

# The (features, kernel size) of each convolution of a branch, in order.
Branch = tuple[tuple[int, int], ...]


class Inception(nn.Module):
    """Parallel branches of convolutions, and one of a 3x3 pool and a 1x1 projection.

    Attributes:
      unit: creates a convolution unit from features, kernel, stride and name; the unit is called
        with x, train and where.
      branches: the convolutions of every branch; the last of each has the stride.
      pool: "max" or "mean"; the mean counts the padding, as in Caffe.
      projection: features of the 1x1 convolution after the pool, or 0 to pass the pool through.
      stride: 1, or 2 to halve the image.
    """

    unit: Callable[..., nn.Module]
    branches: tuple[Branch, ...]
    pool: str
    projection: int
    stride: int = 1

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        outputs = []
        for number, branch in enumerate(self.branches, start=1):
            y = x
            for depth, (features, kernel) in enumerate(branch, start=1):
                stride = self.stride if depth == len(branch) else 1
                name = f"branch{number}_conv{depth}"
                y = self.unit(features, kernel, stride, name=name)(y, train, where)
            outputs.append(y)
        if self.pool == "max":
            y = max_pool(x, self.stride, (1, 1) if self.stride == 1 else (0, 1))
        else:
            y = mean_pool(x)
        if self.projection:
            y = self.unit(self.projection, 1, 1, name="pool_projection")(y, train, where)
        return jnp.concatenate([*outputs, y], axis=-1)


def mean_pool(x: jax.Array) -> jax.Array:
    """3x3 mean pool with stride 1, which counts the zeros of the padding."""
    return nn.avg_pool(x, (3, 3), (1, 1), ((1, 1), (1, 1)))
