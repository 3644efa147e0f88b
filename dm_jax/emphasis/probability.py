"""Functions of a probability p and of its margin m = log(p / (1 - p)), without cancellation."""

import math

import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike


def as_float(value: ArrayLike) -> Array:
    """`value` as a floating-point array; integers become the default float dtype."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def log_p_and_q(margin: Array) -> tuple[Array, Array]:
    """log p and log(1 - p) for p = sigmoid(margin)."""
    # Not abs, minimum and maximum: their derivatives at a margin of 0 do not fit together.
    positive = margin >= 0
    small = jnp.log1p(jnp.exp(jnp.where(positive, -margin, margin)))
    return jnp.where(positive, 0, margin) - small, jnp.where(positive, -margin, 0) - small


def logit(p: ArrayLike) -> Array:
    """The margin of a probability; +-inf at 0 and 1 is clipped to what may be multiplied."""
    p = as_float(p)
    largest = float(jnp.finfo(p.dtype).max)
    limit = math.sqrt(largest) if largest > 1e6 else largest / 8  # float16
    return jnp.clip(jnp.log(p) - jnp.log1p(-p), -limit, limit)


def power(base: Array, exponent: ArrayLike) -> Array:
    """base**exponent, in the dtype of the base; 1 with slope 0 if the exponent is 0."""
    exponent = jnp.asarray(exponent, base.dtype)
    # The slope at 0**0 would be 0 * 0**-1.
    return jnp.power(jnp.where((base == 0) & (exponent == 0), 1, base), exponent)
