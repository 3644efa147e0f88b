"""ResNets for ImageNet (He et al., 2016, Table 1) and their variants for 32x32 images.

In a bottleneck the 3x3 convolution carries the stride, as in torchvision ("v1.5"); the names of
the parameters follow torchvision's, so that `pretrained` can map its files.
"""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax.models.layers import Classifier, ConvNorm, check_images, global_mean, max_pool

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


class ResNet(nn.Module):
    """A stem, four stages of residual blocks (64 to 512 wide) and the classifier.

    Attributes:
      num_classes: number of logits.
      depth: 18, 34 or 50; 50 has bottlenecks.
      small_images: whether the stem is one 3x3 convolution for 32x32 images, instead of the
        7x7 with stride 2 and the max pool.
      dropout: rate before the classifier.
      axis_name: mapped axis of the batch; see `norm.BatchNorm`.
      dtype: of convolutions and activations.
    """

    num_classes: int
    depth: int
    small_images: bool = False
    dropout: float = 0.0
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(
        self,
        x: jax.Array,
        train: bool = False,
        where: jax.Array | None = None,
        features: bool = False,
    ) -> jax.Array | tuple[jax.Array, jax.Array]:
        """Logits [B, num_classes]; with ``features`` also the pooled features, [B, 512 or 2048].

        Args:
          x: float images [B, H, W, C], at least 32x32, or 8x8 with ``small_images``.
          train: whether to use batch statistics and dropout.
          where: bool [B]; the other examples stay out of the batch statistics.
          features: whether to return the features too.
        """
        check_images(f"resnet{self.depth}", x, least=8 if self.small_images else 32)
        x = self._stem(x.astype(self.dtype), train, where)
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
        pooled = global_mean(x)
        logits = Classifier(self.num_classes, self.dropout, self.axis_name, name="classifier")(
            pooled, train
        )
        return (logits, pooled) if features else logits

    def _stem(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        unit = functools.partial(
            ConvNorm, 64, axis_name=self.axis_name, dtype=self.dtype, name="conv1"
        )
        if self.small_images:
            return unit(3)(x, train, where)
        return max_pool(unit(7, 2)(x, train, where), 2, (1, 1))
