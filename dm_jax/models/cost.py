"""The size of a network: its parameters and its multiply-adds."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp


def parameters(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Number of trained parameters of `model` for inputs of `shape`, batch included."""
    leaves = jax.tree.leaves(_variables(model, shape)["params"])
    return sum(math.prod(leaf.shape) for leaf in leaves)


def multiply_adds(model: nn.Module, shape: tuple[int, ...]) -> int:
    """Number of multiply-adds of the convolutions and linear layers in one evaluation.

    Products with padding zeros count, as in published figures. XLA's `cost_analysis` leaves them
    out (8% of a ResNet-44) and counts two operations for each product.

    Args:
      model: a network from `create`.
      shape: of the inputs, batch included.
    """
    counts: list[int] = []

    def count(
        call: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        context: nn.module.InterceptorContext,
    ) -> Any:
        """Calls a module's method, and counts its products if it has a kernel."""
        output = call(*args, **kwargs)
        if isinstance(context.module, nn.Conv | nn.Dense):
            kernel: jax.Array = context.module.get_variable("params", "kernel")
            counts.append(output.size * kernel.size // kernel.shape[-1])
        return output

    variables = _variables(model, shape)
    with nn.intercept_methods(count):
        jax.eval_shape(model.apply, variables, jnp.zeros(shape))
    return sum(counts)


def _variables(model: nn.Module, shape: tuple[int, ...]) -> dict[str, Any]:
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
