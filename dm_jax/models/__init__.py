"""Networks in Flax Linen, by name: the paper's, and common ResNets."""

from dm_jax.models.layers import ConvNorm, Dropout, global_mean
from dm_jax.models.network import Network
from dm_jax.models.norm import BatchNorm
from dm_jax.models.registry import create, names

__all__ = ["BatchNorm", "ConvNorm", "Dropout", "Network", "create", "global_mean", "names"]
