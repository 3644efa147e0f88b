"""The paper's networks, in Flax Linen, by name."""

from dm_jax.models.registry import create, names

__all__ = ["create", "names"]
