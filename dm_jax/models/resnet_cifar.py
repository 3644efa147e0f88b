"""ResNets for 32x32 images (He et al., 2016, section 4.2): 6n + 2 layers, 16-32-64 channels."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax.models.layers import ConvNorm, check_images, global_mean
from dm_jax.models.network import Network


class Block(nn.Module):
    """Two 3x3 convolutions and an identity shortcut without parameters ("option A").

    Where the block halves the image, the shortcut takes every other pixel and the new channels are
    zeros, half of them before and half after the old ones.
    """

    features: int
    stride: int
    axis_name: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        unit = functools.partial(
            ConvNorm, self.features, 3, axis_name=self.axis_name, dtype=self.dtype
        )
        y = unit(stride=self.stride)(x, train, where)
        y = unit(relu=False)(y, train, where)
        grow = (self.features - x.shape[-1]) // 2
        shortcut = x[:, :: self.stride, :: self.stride]
        if grow:
            shortcut = jnp.pad(shortcut, ((0, 0), (0, 0), (0, 0), (grow, grow)))
        return nn.relu(y + shortcut)


class CifarResNet(Network, kw_only=True):
    """6n + 2 weighted layers: a convolution, three stages of n blocks, and the classifier.

    It has 64 features. Images are 32x32 in the paper and must be at least 8x8.

    Attributes:
      depth: 6n + 2: 20, 32, 44, 56, 110.
    """

    depth: int

    def check(self, x: jax.Array) -> None:
        check_images(f"resnet{self.depth}", x, min_size=8)

    def embed(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        x = ConvNorm(16, 3, axis_name=self.axis_name, dtype=self.dtype)(x, train, where)
        for stage, width in enumerate((16, 32, 64)):
            for block in range((self.depth - 2) // 6):
                stride = 2 if stage > 0 and block == 0 else 1
                x = Block(width, stride, self.axis_name, self.dtype)(x, train, where)
        return global_mean(x)
