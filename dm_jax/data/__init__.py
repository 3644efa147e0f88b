"""Data sets by name: arrays in memory for small data, grain pipelines for large."""

from dm_jax.data.catalogue import load, names
from dm_jax.data.dataset import Dataset, Split

__all__ = ["Dataset", "Split", "load", "names"]
