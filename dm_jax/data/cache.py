"""A cache of arrays on disk."""

import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from dm_jax import npz


def directory() -> pathlib.Path:
    """The cache folder: $DM_JAX_CACHE, else ~/.cache/dm_jax."""
    return pathlib.Path(os.environ.get("DM_JAX_CACHE", "~/.cache/dm_jax")).expanduser()


def cached(
    path: pathlib.Path, names: Sequence[str], make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The named arrays of an .npz; makes and writes them first if the file does not exist.

    The file is written atomically and its checksums are verified on every read. New arrays are read
    back from it, so that two processes that made different ones both use those in the file.

    Raises:
      ValueError: the file is damaged; names the file to delete.
    """
    if not path.exists():
        arrays = make()
        if not path.exists():
            npz.write(path, arrays)
    try:
        return npz.read(path, names)
    except ValueError as error:
        raise ValueError(f"{error}; delete this cache file to make it again") from error
