"""The convolution of the networks: XLA's, except for the gradient of its kernel on a CPU."""

import functools
import math
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import lax

from dm_jax.dtypes import at_least_float32

# Images per part. Measured at batches of 64 to 256: fewer are hardly faster and compile longer.
_PART = 16


def conv_general_dilated(
    lhs: jax.Array,
    rhs: jax.Array,
    window_strides: Sequence[int],
    padding: Sequence[tuple[int, int]],
    **settings: Any,
) -> jax.Array:
    """`jax.lax.conv_general_dilated` of images [B, ...], for `flax.linen.Conv`.

    The gradient of the kernel is a sum over the batch. On a CPU, XLA's time for it grows faster
    than the batch (docs/performance.md), so it is computed in parts and added up; devices that
    share a batch communicate once per part. Other devices use XLA's gradient. Supports reverse-mode
    derivatives only, of any order.
    """

    def convolve(images: jax.Array, kernel: jax.Array) -> jax.Array:
        return lax.conv_general_dilated(images, kernel, window_strides, padding, **settings)

    def by_kernel(images: jax.Array, kernel: jax.Array, gradient: jax.Array) -> jax.Array:
        return jax.vjp(lambda kernel: convolve(images, kernel), kernel)[1](gradient)[0]

    def by_kernel_in_parts(images: jax.Array, kernel: jax.Array, gradient: jax.Array) -> jax.Array:
        dtype = at_least_float32(kernel.dtype)
        pairs = zip(_parts(images), _parts(gradient), strict=True)
        summands = (by_kernel(part, kernel, of_part).astype(dtype) for part, of_part in pairs)
        return functools.reduce(jnp.add, summands).astype(kernel.dtype)

    @jax.custom_vjp
    def apply(images: jax.Array, kernel: jax.Array) -> jax.Array:
        return convolve(images, kernel)

    def forward(images: jax.Array, kernel: jax.Array) -> tuple[jax.Array, Any]:
        return convolve(images, kernel), (images, kernel)

    def backward(residuals: Any, gradient: jax.Array) -> tuple[jax.Array, jax.Array]:
        images, kernel = residuals
        by_images = jax.vjp(lambda images: convolve(images, kernel), images)[1](gradient)[0]
        return by_images, lax.platform_dependent(
            images, kernel, gradient, cpu=by_kernel_in_parts, default=by_kernel
        )

    apply.defvjp(forward, backward)
    return apply(lhs, rhs)


def _parts(batch: jax.Array) -> list[jax.Array]:
    """Splits a batch [B, ...] into n parts of at most `_PART` examples, with stride n.

    So each part takes equally from all devices that share the batch. Batches that do not divide
    into parts are padded with zeros.
    """
    if len(batch) <= _PART:
        return [batch]
    size = math.gcd(len(batch), _PART)
    if size < _PART // 2:
        size = _PART
        widths = [(0, -len(batch) % size), *[(0, 0)] * (batch.ndim - 1)]
        batch = jnp.pad(batch, widths)
    split = batch.reshape(size, -1, *batch.shape[1:])
    return [split[:, index] for index in range(split.shape[1])]
