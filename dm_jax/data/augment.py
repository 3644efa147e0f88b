"""Augmentation inside the compiled step: pure functions of one random key per example.

The key of an example depends only on its position in the global batch, not on its device, so any
sharding of the batch draws the same crops and flips.
"""

import jax
import jax.numpy as jnp

from dm_jax.dtypes import at_least_float32

# Folded into an example's key, so that its crop and its flip are independent draws.
_CROP, _FLIP = 0, 1


def example_keys(key: jax.Array, first: jax.typing.ArrayLike, count: int) -> jax.Array:
    """One key for each of the examples `first` .. `first + count - 1`.

    Args:
      key: a `jax.random.key`.
      first: int, may be traced; the global position of the first example.
      count: static int.

    Returns:
      keys [count]; entry i is `jax.random.fold_in(key, first + i)`.
    """
    return jax.vmap(jax.random.fold_in, in_axes=(None, 0))(key, first + jnp.arange(count))


def random_crop(images: jax.Array, keys: jax.Array, *, padding: int = 4) -> jax.Array:
    """Pads each image with zeros (black) on all sides and crops it back at a random offset.

    Args:
      images: [n, height, width, channels], any dtype, not yet normalised.
      keys: [n], one key per image.
      padding: pixels on each side; all (2 * padding + 1)**2 offsets are equally likely.

    Returns:
      images of the same shape and dtype.
    """
    padded = jnp.pad(images, ((0, 0), (padding, padding), (padding, padding), (0, 0)))

    def crop(image, key):
        key = jax.random.fold_in(key, _CROP)
        row, column = jax.random.randint(key, (2,), 0, 2 * padding + 1)
        return jax.lax.dynamic_slice(image, (row, column, 0), images.shape[1:])

    return jax.vmap(crop)(padded, keys)


def random_flip(images: jax.Array, keys: jax.Array) -> jax.Array:
    """Mirrors each image left to right with probability one half.

    Args:
      images: [n, height, width, channels], any dtype.
      keys: [n], one key per image.

    Returns:
      images of the same shape and dtype.
    """
    flip = jax.vmap(lambda key: jax.random.bernoulli(jax.random.fold_in(key, _FLIP)))(keys)
    return jnp.where(flip[:, None, None, None], images[:, :, ::-1], images)


def normalize(
    images: jax.Array,
    mean: jax.typing.ArrayLike,
    std: jax.typing.ArrayLike,
    dtype: jax.typing.DTypeLike = jnp.float32,
) -> jax.Array:
    """Returns (x - mean) / std per channel; uint8 images are scaled to [0, 1] first.

    Args:
      images: uint8 [..., channels], or floating features [..., channels], which are not scaled.
      mean: [channels].
      std: [channels].
      dtype: of the result; computed in float32, or in float64 if `dtype` is float64.

    Returns:
      [..., channels] of `dtype`.
    """
    compute = at_least_float32(dtype)
    shape = (1,) * (images.ndim - 1) + (-1,)
    mean = jnp.asarray(mean, compute).reshape(shape)
    std = jnp.asarray(std, compute).reshape(shape)
    scale = 255.0 if images.dtype == jnp.uint8 else 1.0
    return ((images.astype(compute) / scale - mean) / std).astype(dtype)
