"""The precision of what must not be computed in bfloat16 or float16."""

import jax.numpy as jnp
from jax.typing import DTypeLike


def at_least_float32(dtype: DTypeLike) -> jnp.dtype:
    """float64 if `dtype` is, else float32."""
    return jnp.promote_types(dtype, jnp.float32)
