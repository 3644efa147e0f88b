"""ResNets for ImageNet (He et al., 2016, Table 1) and their variants for 32x32 images.

In a bottleneck the 3x3 convolution has the stride, as in torchvision ("v1.5"); the names of the
parameters follow torchvision's, so that `pretrained` can map its files.
"""

import functools

import flax.linen as nn
import jax
from jax.typing import DTypeLike

from dm_jax.models.layers import ConvNorm, check_images, global_mean, max_pool
from dm_jax.models.network import Network

STAGES = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3)}


class ImageNetBlock(nn.Module):
    """Two 3x3 convolutions, or 1x1, 3x3, 1x1 to four times the width if it is a bottleneck.

    The shortcut is a 1x1 convolution wherever the shape changes ("option B").
    """

    width: int
    stride: int
    bottleneck: bool
    axis_name: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        unit = functools.partial(ConvNorm, axis_name=self.axis_name, dtype=self.dtype)
        width, stride = self.width, self.stride
        features = 4 * width if self.bottleneck else width
        if self.bottleneck:
            y = unit(width, 1, name="conv1")(x, train, where)
            y = unit(width, 3, stride, name="conv2")(y, train, where)
            y = unit(features, 1, relu=False, name="conv3")(y, train, where)
        else:
            y = unit(width, 3, stride, name="conv1")(x, train, where)
            y = unit(width, 3, relu=False, name="conv2")(y, train, where)
        if stride != 1 or x.shape[-1] != features:
            x = unit(features, 1, stride, relu=False, name="downsample")(x, train, where)
        return nn.relu(y + x)


class ResNet(Network, kw_only=True):
    """A stem, four stages of residual blocks (64 to 512 wide) and the classifier.

    It has 512 features, or 2048 with bottlenecks. Images must be at least 32x32, or 8x8 with
    `small_images`.

    Attributes:
      depth: 18, 34 or 50; 50 has bottlenecks.
      small_images: whether the stem is one 3x3 convolution for 32x32 images, instead of the
        7x7 with stride 2 and the max pool.
    """

    depth: int
    small_images: bool = False

    def check(self, x: jax.Array) -> None:
        check_images(f"resnet{self.depth}", x, min_size=8 if self.small_images else 32)

    def embed(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        x = self._stem(x, train, where)
        for stage, blocks in enumerate(STAGES[self.depth]):
            for block in range(blocks):
                x = ImageNetBlock(
                    width=64 * 2**stage,
                    stride=2 if stage > 0 and block == 0 else 1,
                    bottleneck=self.depth >= 50,
                    axis_name=self.axis_name,
                    dtype=self.dtype,
                    name=f"layer{stage + 1}_{block}",
                )(x, train, where)
        return global_mean(x)

    def _stem(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        unit = functools.partial(
            ConvNorm, 64, axis_name=self.axis_name, dtype=self.dtype, name="conv1"
        )
        if self.small_images:
            return unit(3)(x, train, where)
        return max_pool(unit(7, 2)(x, train, where), 2, (1, 1))
