"""The catalogue of data sets by name."""

from collections.abc import Callable

from dm_jax import errors
from dm_jax.data import cifar, cifar_n, digits, imdb, npz_dataset, tfds_arrays, tfds_builders
from dm_jax.data.dataset import Dataset
from dm_jax.data.streamed_dataset import is_streamed

_LOADERS: dict[str, Callable[[str, str | None], Dataset]] = {
    "cifar10": cifar.load,
    "cifar100": cifar.load,
    "cifar100_n": cifar_n.load,
    "cifar10_n": cifar_n.load,
    "digits": digits.load,
    "imdb": imdb.load,
    "vehicles10": cifar.load_vehicles10,
}
# "npz:PATH" and "tfds:NAME": the loader gets what comes after the colon.
_FAMILIES: dict[str, Callable[[str, str | None], Dataset]] = {
    "npz": npz_dataset.load,
    "tfds": tfds_arrays.load,
}
_NAMES = (*_LOADERS, *tfds_builders.OWN_BUILDERS, "npz:PATH", "stream:NAME", "tfds:NAME")


def names() -> tuple[str, ...]:
    """All names in the catalogue, sorted.

    "clothing1m", "mars" and "stream:NAME" do not fit in memory: open them with `load_streamed`, the
    others with `load`. "npz:PATH" stands for any file, "tfds:NAME" and "stream:NAME" for any image
    classification data set of TFDS.
    """
    return tuple(sorted(_NAMES))


def load(name: str, *, data_dir: str | None = None) -> Dataset:
    """Loads a data set into memory.

    Args:
      name: "digits", "cifar10", … (`names()`), "npz:PATH" for custom arrays, or "tfds:NAME" for any
        image classification set of TFDS with images of one size.
      data_dir: where TFDS keeps prepared data ($TFDS_DATA_DIR or ~/tensorflow_datasets if None);
        for "npz:PATH" the base of a relative path (the working directory if None).

    Returns:
      Training and test set, with the names, statistics and fingerprint of the data.

    Raises:
      ValueError: an unknown name (names the nearest known one) or invalid data.
      FileNotFoundError: the data are missing; names the command that prepares them.
    """
    family, colon, rest = name.partition(":")
    if colon and rest and family in _FAMILIES:
        return _FAMILIES[family](rest, data_dir)
    if is_streamed(name):
        raise ValueError(f"{name} does not fit in memory; open it with dm_jax.data.load_streamed")
    if name not in _LOADERS:
        raise errors.unknown("data set", name, _NAMES)
    return _LOADERS[name](name, data_dir)
