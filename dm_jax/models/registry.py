"""The networks by name."""

import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax.errors import unknown
from dm_jax.models.googlenet import GoogLeNet
from dm_jax.models.inception_v2 import InceptionV2
from dm_jax.models.mlp import MLP
from dm_jax.models.resnet import STAGES, ResNet
from dm_jax.models.resnet_cifar import CifarResNet

_NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "mlp": MLP,
    **{
        f"resnet{depth}": functools.partial(CifarResNet, depth=depth)
        for depth in (20, 32, 44, 56, 110)
    },
    **{f"resnet{depth}": functools.partial(ResNet, depth=depth) for depth in STAGES},
    **{
        f"resnet{depth}_32": functools.partial(ResNet, depth=depth, small_images=True)
        for depth in (18, 34)
    },
    "googlenet": GoogLeNet,
    "googlenet_32": functools.partial(GoogLeNet, small_images=True),
    "inception_v2": InceptionV2,
}
_DTYPES = ("float32", "bfloat16", "float64")


def names() -> tuple[str, ...]:
    """The names `create` takes.

    >>> names()[:3]
    ('mlp', 'resnet20', 'resnet32')
    """
    return tuple(_NETWORKS)


def create(
    name: str,
    *,
    num_classes: int,
    dtype: DTypeLike = jnp.float32,
    axis_name: str | None = None,
    dropout: float = 0.0,
    **options: Any,
) -> nn.Module:
    """The network called ``name``.

    Its ``apply(variables, x, train=..., where=..., features=...)`` takes float inputs [B, H, W, C]
    ([B, ...] for "mlp") and returns logits [B, num_classes], float32 (float64 if ``dtype`` is).
    Its collections are "params" and, with batch normalisation, "batch_stats", of that same dtype.

    Args:
      name: one of `names`.
      num_classes: number of logits.
      dtype: float32, bfloat16 or float64, of activations and convolutions.
      axis_name: mapped axis of the batch under ``pmap`` or ``shard_map``; None under ``jit``.
      dropout: rate of the dropout before the classifier, in [0, 1); needs the rng "dropout".
      **options: of the one network: ``hidden`` sizes (mlp), ``auxiliary`` heads (googlenet).

    Raises:
      ValueError: unknown name or option, or a value out of range.

    >>> create("mlp", num_classes=2, hidden=(8,)).hidden
    (8,)
    """
    if name not in _NETWORKS:
        raise unknown("model", name, _NETWORKS)
    if num_classes < 1:
        raise ValueError(f"num_classes must be positive, got {num_classes}")
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    network = _NETWORKS[name]
    _check_options(name, network, options)
    common = {"num_classes": num_classes, "dropout": dropout, "axis_name": axis_name}
    return network(**common, dtype=_checked_dtype(dtype), **options)


def _check_options(name: str, network: Callable[..., nn.Module], options: dict[str, Any]) -> None:
    """Raises ValueError for an option that is not the network's own."""
    fixed = {"num_classes", "dtype", "axis_name", "dropout", "parent", "name"}
    if isinstance(network, functools.partial):
        fixed |= set(network.keywords)
        network = network.func
    own = {field.name for field in dataclasses.fields(network)} - fixed  # type: ignore[arg-type]
    for option in options:
        if option not in own:
            raise unknown(f"option of {name}", option, own)


def _checked_dtype(dtype: DTypeLike) -> jnp.dtype:
    """``dtype`` as a jnp.dtype, or a ValueError that says what is accepted."""
    found = jnp.dtype(dtype)
    if found.name not in _DTYPES:
        raise ValueError(f"dtype must be one of {', '.join(_DTYPES)}, got {found.name}")
    if found == jnp.float64 and not jax.config.read("jax_enable_x64"):
        raise ValueError("dtype float64 needs jax.config.update('jax_enable_x64', True)")
    return found
