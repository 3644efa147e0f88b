"""GoogLeNet, also called Inception V1 (Szegedy et al., 2015, Table 1).

For 224x224 images it is the published network: biases, local response normalisation, no batch
normalisation. For 32x32 images the stem keeps the image size and batch normalisation replaces both,
so that the network trains at the learning rate of 0.1 in Table 2.
"""

import functools
from collections.abc import Callable

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from dm_jax.dtypes import at_least_float32
from dm_jax.models.inception import Inception
from dm_jax.models.layers import (
    Classifier,
    ConvNorm,
    check_images,
    convolve,
    global_mean,
    max_pool,
)
from dm_jax.models.network import Network

# name: 1x1, 3x3 reduction, 3x3, 5x5 reduction, 5x5, pool projection.
MODULES = {
    "3a": (64, 96, 128, 16, 32, 32),
    "3b": (128, 128, 192, 32, 96, 64),
    "4a": (192, 96, 208, 16, 48, 64),
    "4b": (160, 112, 224, 24, 64, 64),
    "4c": (128, 128, 256, 24, 64, 64),
    "4d": (112, 144, 288, 32, 64, 64),
    "4e": (256, 160, 320, 32, 128, 128),
    "5a": (256, 160, 320, 32, 128, 128),
    "5b": (384, 192, 384, 48, 128, 128),
}


class ConvBias(nn.Module):
    """Convolution with a bias, and ReLU; ignores the further arguments of `ConvNorm`."""

    features: int
    kernel: int
    stride: int = 1
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        del train, where
        x = convolve(x, self.features, self.kernel, self.stride, use_bias=True, dtype=self.dtype)
        return nn.relu(x)


class AuxiliaryHead(nn.Module):
    """The auxiliary classifier after 4a and 4d: 5x5 mean pool, 1x1 convolution, 1024 units."""

    num_classes: int
    unit: Callable[..., nn.Module]
    axis_name: str | None
    dtype: DTypeLike

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        if min(x.shape[1:3]) < 5:
            raise ValueError(
                f"auxiliary heads need maps of at least 5x5, got {x.shape[1]}x{x.shape[2]}: "
                "use larger images or auxiliary=False"
            )
        x = self.unit(128, 1, name="conv")(nn.avg_pool(x, (5, 5), (3, 3)), train, where)
        precision = at_least_float32(self.dtype)
        hidden = nn.Dense(1024, dtype=self.dtype, param_dtype=precision, name="hidden")
        x = nn.relu(hidden(x.reshape(x.shape[0], -1))).astype(precision)
        return Classifier(self.num_classes, 0.7, self.axis_name, name="classifier")(x, train)


class GoogLeNet(Network, kw_only=True):
    """A stem, nine Inception modules and the classifier, with dropout 0.4 in the paper.

    It has 1024 features. Images must be at least 32x32, or 8x8 with `small_images`.

    Attributes:
      small_images: whether it is the variant for 32x32 images.
      auxiliary: whether it has the two auxiliary heads. In training, `apply` with "auxiliary" in
        `mutable` returns their logits in that collection, as {"4a": ([B, num_classes],),
        "4d": ...}; the paper adds their losses times 0.3. They always have dropout 0.7, so they
        need the rng "dropout".
    """

    small_images: bool = False
    auxiliary: bool = False

    def check(self, x: jax.Array) -> None:
        check_images("googlenet", x, min_size=8 if self.small_images else 32)

    def embed(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        """The mean-pooled features, [B, 1024]; in training, also runs the auxiliary heads."""
        unit = self._unit()
        x = self._stem(unit, x, train, where)
        for name, sizes in MODULES.items():
            if name in ("4a", "5a"):
                x = max_pool(x, 2, (0, 1))
            x = inception(unit, name, sizes)(x, train, where)
            if self.auxiliary and name in ("4a", "4d"):
                self._auxiliary(unit, name, x, train, where)
        return global_mean(x)

    def _unit(self) -> Callable[..., nn.Module]:
        if self.small_images:
            return functools.partial(ConvNorm, axis_name=self.axis_name, dtype=self.dtype)
        return functools.partial(ConvBias, dtype=self.dtype)

    def _stem(
        self,
        unit: Callable[..., nn.Module],
        x: jax.Array,
        train: bool,
        where: jax.Array | None,
    ) -> jax.Array:
        """The first three convolutions; without stride and pools for small images."""
        if self.small_images:
            x = unit(64, 3, name="conv1")(x, train, where)
            x = unit(64, 1, name="conv2_reduce")(x, train, where)
            return unit(192, 3, name="conv2")(x, train, where)
        x = unit(64, 7, 2, name="conv1")(x, train, where)
        x = local_response_norm(max_pool(x, 2, (0, 1)))
        x = unit(64, 1, name="conv2_reduce")(x, train, where)
        x = unit(192, 3, name="conv2")(x, train, where)
        return max_pool(local_response_norm(x), 2, (0, 1))

    def _auxiliary(
        self,
        unit: Callable[..., nn.Module],
        name: str,
        x: jax.Array,
        train: bool,
        where: jax.Array | None,
    ) -> None:
        """Runs one auxiliary head and stores its logits in the collection "auxiliary"."""
        if not (train or self.is_initializing()):
            return
        head = AuxiliaryHead(
            self.num_classes, unit, self.axis_name, self.dtype, name=f"auxiliary_{name}"
        )
        logits = head(x, train, where)
        if not self.is_initializing():
            self.sow("auxiliary", name, logits)


def inception(unit: Callable[..., nn.Module], name: str, sizes: tuple[int, ...]) -> Inception:
    """The Inception module of one row of `MODULES`."""
    single, three_reduce, three, five_reduce, five, projection = sizes
    branches = (((single, 1),), ((three_reduce, 1), (three, 3)), ((five_reduce, 1), (five, 5)))
    return Inception(unit, branches, "max", projection, name=f"inception_{name}")


def local_response_norm(x: jax.Array) -> jax.Array:
    """Divides by (1 + 1e-4 * mean of squares over 5 neighbouring channels) ** 0.75.

    Krizhevsky et al. (2012), section 3.3, with the constants of Caffe's GoogLeNet.
    """
    squares = jnp.square(x.astype(at_least_float32(x.dtype)))
    window = (1,) * (x.ndim - 1) + (5,)
    sums = lax.reduce_window(squares, 0.0, lax.add, window, (1,) * x.ndim, "SAME")
    scale = 1 + 1e-4 / 5 * sums
    return (x * lax.rsqrt(scale * jnp.sqrt(scale))).astype(x.dtype)
