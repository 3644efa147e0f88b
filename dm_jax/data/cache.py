"""Arrays that are made once and kept."""

import os
import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from dm_jax import npz


def directory() -> pathlib.Path:
    """Where caches lie: $DM_JAX_CACHE, else ~/.cache/dm_jax."""
    return pathlib.Path(os.environ.get("DM_JAX_CACHE", "~/.cache/dm_jax")).expanduser()


def cached(
    path: pathlib.Path, names: Sequence[str], make: Callable[[], dict[str, np.ndarray]]
) -> dict[str, np.ndarray]:
    """The named arrays of an .npz; makes and writes them first where there is no such file.

    The file appears under its name only once it is complete, and its check sums are verified at
    every reading. Who makes the arrays reads them back, so that of two processes that made
    different ones both go on with those that lie in the file.

    Raises:
      ValueError: the file is damaged; it says so and names the file to delete.
    """
    if not path.exists():
        arrays = make()
        if not path.exists():
            npz.write(path, arrays)
    try:
        return npz.read(path, names)
    except ValueError as error:
        raise ValueError(f"{error}; delete this cache and it is made again") from error
