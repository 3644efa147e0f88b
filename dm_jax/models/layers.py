"""Building blocks of the networks: convolution units, pools, dropout and the classifier."""

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike

from dm_jax.dtypes import at_least_float32
from dm_jax.models.convolution import conv_general_dilated
from dm_jax.models.norm import BatchNorm

# He et al. (2015), Eq. 14: normal, variance 2 / (kernel area * output channels).
he_normal = nn.initializers.variance_scaling(2.0, "fan_out", "normal")


class ConvNorm(nn.Module):
    """Convolution without bias, batch normalisation and, if `relu`, ReLU.

    Attributes:
      features: output channels.
      kernel: side of the square kernel, odd. The padding is kernel // 2 on every side, as in the
        papers' frameworks; XLA's "SAME" pads strided convolutions on one side only.
      stride: of both spatial axes.
      relu: whether ReLU follows.
      axis_name: for the statistics, see `BatchNorm`.
      dtype: of the convolution and the output.
    """

    features: int
    kernel: int
    stride: int = 1
    relu: bool = True
    axis_name: str | None = None
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, x: jax.Array, train: bool, where: jax.Array | None) -> jax.Array:
        x = convolve(x, self.features, self.kernel, self.stride, use_bias=False, dtype=self.dtype)
        x = BatchNorm(self.axis_name, self.dtype, name="norm")(x, train, where)
        return nn.relu(x) if self.relu else x


def convolve(
    x: jax.Array, features: int, kernel: int, stride: int, *, use_bias: bool, dtype: DTypeLike
) -> jax.Array:
    """A square convolution, a submodule named "conv", padded by kernel // 2.

    A 1x1 convolution is a matrix product with kernel [C, features]: twice as fast on a CPU, and for
    a population a batched product where a convolution would become a grouped one.
    """
    if kernel == 1:
        return nn.Dense(
            features,
            use_bias=use_bias,
            dtype=dtype,
            param_dtype=at_least_float32(dtype),
            kernel_init=he_normal,
            name="conv",
        )(x[:, ::stride, ::stride])
    return nn.Conv(
        features,
        (kernel, kernel),
        stride,
        padding=kernel // 2,
        use_bias=use_bias,
        dtype=dtype,
        param_dtype=at_least_float32(dtype),
        kernel_init=he_normal,
        conv_general_dilated=conv_general_dilated,
        name="conv",
    )(x)


class Dropout(nn.Module):
    """Dropout with one mask per example, drawn from its index in the global batch.

    The key of an example is `fold_in(key, global index)`, so the masks do not depend on how many
    devices share the batch. The key itself must be the same on all of them.

    Attributes:
      rate: probability of a zero, in [0, 1).
      axis_name: mapped axis over which the batch is split, or None.
    """

    rate: float
    axis_name: str | None = None

    @nn.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Drops features of x [B, ...] while training and scales the others by 1 / (1 - rate)."""
        if not train or self.rate == 0.0 or self.is_initializing():
            return x
        index = jnp.arange(x.shape[0])
        if self.axis_name is not None:
            index = index + lax.axis_index(self.axis_name) * x.shape[0]
        keys = jax.vmap(jax.random.fold_in, (None, 0))(self.make_rng("dropout"), index)
        kept = jax.vmap(lambda key: jax.random.bernoulli(key, 1 - self.rate, x.shape[1:]))(keys)
        return jnp.where(kept, x / (1 - self.rate), jnp.zeros_like(x))


class Classifier(nn.Module):
    """Dropout and a linear layer from pooled features to logits, in float32 (or float64).

    In bfloat16, logits near 20 would be multiples of 1/8, too coarse for a margin.
    """

    num_classes: int
    dropout: float = 0.0
    axis_name: str | None = None
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()

    @nn.compact
    def __call__(self, features: jax.Array, train: bool) -> jax.Array:
        """The logits [B, num_classes] of features [B, F], in the dtype of the features."""
        features = Dropout(self.dropout, self.axis_name)(features, train)
        return nn.Dense(
            self.num_classes,
            dtype=features.dtype,
            param_dtype=features.dtype,
            kernel_init=self.kernel_init,
            name="dense",
        )(features)


def global_mean(x: jax.Array) -> jax.Array:
    """Mean over the spatial axes: [B, H, W, C] to [B, C], float32 or float64."""
    return jnp.mean(x, axis=(1, 2), dtype=at_least_float32(x.dtype))


def max_pool(x: jax.Array, stride: int, pads: tuple[int, int]) -> jax.Array:
    """3x3 max pool of [B, H, W, C], each axis padded by `pads` with minus infinity.

    Pads of (0, 1) with stride 2 are Caffe's pool: windows start at the first pixel and the last one
    may overhang. Written as maxima of shifted slices, first along H and then along W: the gradient
    of XLA's own pool runs on one core of a CPU and took 3 to 25 times as long.
    """
    for axis in (1, 2):
        widths = [pads if at == axis else (0, 0) for at in range(x.ndim)]
        padded = jnp.pad(x, widths, constant_values=-jnp.inf)
        end = padded.shape[axis] - 2
        first, second, third = (
            lax.slice_in_dim(padded, start, end + start, stride, axis) for start in range(3)
        )
        x = jnp.maximum(jnp.maximum(first, second), third)
    return x


def check_images(network: str, x: jax.Array, min_size: int, multiple: int = 1) -> None:
    """Raises unless `x` is a floating batch of images of accepted size.

    Args:
      network: its name, for the message.
      x: the input, which should be floating [B, H, W, C].
      min_size: smallest height and width.
      multiple: what height and width must be multiples of.

    Raises:
      TypeError: `x` is not floating.
      ValueError: it is not [B, H, W, C], or height or width is not accepted.
    """
    check_floating(network, x)
    if x.ndim != 4:
        raise ValueError(f"{network} takes images [B, H, W, C], got shape {x.shape}")
    sides = x.shape[1:3]
    if min(sides) < min_size or any(side % multiple for side in sides):
        accepted = f"at least {min_size}x{min_size}"
        if multiple > 1:
            accepted += f" with sides that are multiples of {multiple}"
        raise ValueError(f"{network} takes images of {accepted}, got {sides[0]}x{sides[1]}")


def check_floating(network: str, x: jax.Array) -> None:
    """Raises TypeError unless `x` is floating: bytes must be scaled and normalised first."""
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(f"{network} takes floating inputs (scaled images), got {x.dtype}")
