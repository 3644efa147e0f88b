"""Preparing a data set with TFDS, which needs TensorFlow (`pip install 'dm_jax[datasets]'`)."""

import importlib
import pathlib

from dm_jax import errors
from dm_jax.data import prepared

# Names of the catalogue that are made from a TFDS data set of another name.
_SOURCES = {"imdb": "imdb_reviews", "vehicles10": "cifar100"}


def prepare(
    name: str, *, data_dir: str | None = None, manual_dir: str | None = None
) -> pathlib.Path:
    """Downloads a data set, or reads it from `manual_dir`, and writes it as array_record files.

    What is prepared already is left alone.

    Args:
      name: of the catalogue, or as TFDS takes it: "cifar10", "clothing1m", "imagenette/full-size".
      data_dir: where it is written; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.
      manual_dir: where what cannot be downloaded lies, in its official layout (docs/data.md).

    Returns:
      The folder of the prepared data set.

    Raises:
      ValueError: if there is no such data set, or its files are not as they should be.
    """
    import tensorflow_datasets as tfds

    if name == "digits" or name.startswith("npz:"):
        raise ValueError(f"{name} needs no preparing")
    name = _SOURCES.get(name, name.removeprefix("tfds:").removeprefix("stream:"))
    if name in prepared.OWN_BUILDERS:
        importlib.import_module(f"dm_jax.data.{name}")
    try:
        builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    except tfds.core.DatasetNotFoundError as error:
        known = (*tfds.list_builders(), *prepared.OWN_BUILDERS)
        raise errors.unknown("TFDS data set", name, known) from error
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        builder.download_and_prepare(download_config=config)
    except AssertionError as error:  # TFDS's, where the manual folder is not there
        raise ValueError(f"{name}: {error}") from error
    return pathlib.Path(builder.data_path)
