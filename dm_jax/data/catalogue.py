"""The catalogue: every data set by its name."""

from collections.abc import Callable

from dm_jax import errors
from dm_jax.data import digits, imdb
from dm_jax.data.dataset import Dataset

_LOADERS: dict[str, Callable[[str, str | None], Dataset]] = {
    "digits": digits.load,
    "imdb": imdb.load,
}


def names() -> list[str]:
    """The names that `load` knows, sorted."""
    return sorted(_LOADERS)


def load(name: str, *, data_dir: str | None = None) -> Dataset:
    """Loads a data set into memory.

    Args:
      name: one of `names()`.
      data_dir: where TFDS keeps prepared data; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.

    Raises:
      ValueError: for an unknown name; it gives the nearest known one.
    """
    if name not in _LOADERS:
        raise errors.unknown("data set", name, _LOADERS)
    return _LOADERS[name](name, data_dir)
