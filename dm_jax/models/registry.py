"""The networks by name."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from dm_jax import errors, import_path
from dm_jax.models.googlenet import GoogLeNet
from dm_jax.models.inception_v2 import InceptionV2
from dm_jax.models.mlp import MLP
from dm_jax.models.network import Network
from dm_jax.models.resnet import STAGES, ResNet
from dm_jax.models.resnet_cifar import CifarResNet

# The class of each network and its fixed fields.
_NETWORKS: dict[str, tuple[type[Network], dict[str, Any]]] = {
    "mlp": (MLP, {}),
    **{f"resnet{depth}": (CifarResNet, {"depth": depth}) for depth in (20, 32, 44, 56, 110)},
    **{f"resnet{depth}": (ResNet, {"depth": depth}) for depth in STAGES},
    **{f"resnet{depth}_32": (ResNet, {"depth": depth, "small_images": True}) for depth in (18, 34)},
    "googlenet": (GoogLeNet, {"small_images": False}),
    "googlenet_32": (GoogLeNet, {"small_images": True}),
    "inception_v2": (InceptionV2, {}),
}
_COMMON = {field.name for field in dataclasses.fields(Network)}
_DTYPES = ("float32", "bfloat16", "float64")


def names() -> tuple[str, ...]:
    """The names that `create` accepts.

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
) -> Network:
    """Creates the network called `name`.

    Its `apply(variables, x, train=..., where=..., features=...)` takes float inputs [B, H, W, C]
    ([B, ...] for "mlp") and returns logits [B, num_classes], float32 (float64 if `dtype` is).
    Its collections are "params" and, with batch normalisation, "batch_stats", of that same dtype.

    Args:
      name: one of `names`, or the import path of a custom `Network`, "package.module:Class".
      num_classes: number of logits.
      dtype: float32, bfloat16 or float64, of activations and convolutions.
      axis_name: mapped axis of the batch under `pmap` or `shard_map`; None under `jit`.
      dropout: rate of the dropout before the classifier, in [0, 1); needs the rng "dropout".
      **options: specific to the network: `hidden` sizes (mlp), `auxiliary` heads (googlenet),
        the fields that a custom class adds to those of `Network`.

    Raises:
      ValueError: unknown name or option, or a value out of range.
      TypeError: an option of the wrong type.

    >>> create("mlp", num_classes=2, hidden=(8,)).hidden
    (8,)
    """
    fixed: dict[str, Any] = {}
    if ":" in name:
        network = import_path.load(
            name,
            lambda found: import_path.is_subclass(found, Network),
            "a subclass of dm_jax.models.Network",
        )
    elif name in _NETWORKS:
        network, fixed = _NETWORKS[name]
    else:
        raise errors.unknown("model", name, _NETWORKS)
    errors.check_integer("num_classes", num_classes, minimum=1)
    errors.check_number("dropout", dropout)
    if not 0 <= dropout < 1:
        raise ValueError(f"dropout must be in [0, 1), got {dropout}")
    own = {field.name for field in dataclasses.fields(network)} - _COMMON - fixed.keys()
    for option in options:
        if option not in own:
            raise errors.unknown(f"option of {name}", option, own)
    return network(
        num_classes=num_classes,
        dropout=dropout,
        axis_name=axis_name,
        dtype=_checked_dtype(dtype),
        **fixed,
        **options,
    )


def _checked_dtype(dtype: DTypeLike) -> jnp.dtype:
    """`dtype` as a jnp.dtype; raises ValueError if it is not accepted."""
    try:
        found = jnp.dtype(dtype)
    except TypeError:
        raise errors.unknown("dtype", str(dtype), _DTYPES) from None
    if found.name not in _DTYPES:
        raise errors.unknown("dtype", found.name, _DTYPES)
    if found == jnp.float64 and not jax.config.read("jax_enable_x64"):
        raise ValueError(
            "dtype float64 needs jax.config.update('jax_enable_x64', True), or the variable "
            "JAX_ENABLE_X64=1"
        )
    return found
