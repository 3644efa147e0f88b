"""The dtype of computations that must not run in bfloat16 or float16."""

import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike


def at_least_float32(dtype: DTypeLike) -> jnp.dtype:
    """Returns float64 if `dtype` is float64, else float32."""
    return jnp.dtype(jnp.float64 if jnp.dtype(dtype) == jnp.float64 else jnp.float32)


def widened(array: Array) -> Array:
    """The array in float64 if that is its dtype, else in float32."""
    return array.astype(at_least_float32(array.dtype))
