"""Data sets by name: arrays in memory for small data, grain pipelines for large."""

from dm_jax.data.catalogue import load, names
from dm_jax.data.dataset import Dataset, Split
from dm_jax.data.streamed_dataset import StreamedDataset, is_streamed
from dm_jax.data.streamed_dataset import load as load_streamed

__all__ = [
    "Dataset",
    "Split",
    "StreamedDataset",
    "is_streamed",
    "load",
    "load_streamed",
    "names",
]
