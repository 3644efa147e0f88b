"""TFDS data sets as files: prepared once with TensorFlow, then read without it.

TFDS itself is imported inside the functions: not every data set needs it.
"""

import importlib
import os
import pathlib
from typing import Any

import numpy as np

from dm_jax import errors

# Data sets whose builders are in this package; TFDS itself does not know them.
OWN_BUILDERS = ("clothing1m", "mars")
# Data sets whose files have to be downloaded by hand.
_MANUAL = (*OWN_BUILDERS, "cifar10_n", "cifar100_n")
# Catalogue names that are made from a TFDS data set of another name.
_SOURCES = {"imdb": "imdb_reviews", "vehicles10": "cifar100"}


def prepare(
    name: str, *, data_dir: str | None = None, manual_dir: str | None = None
) -> pathlib.Path:
    """Downloads a data set, or reads it from `manual_dir`, and writes it as array_record files.

    Needs TensorFlow (`pip install 'dm_jax[datasets]'`). Does nothing if it is already prepared.

    Args:
      name: catalogue or TFDS name: "cifar10", "clothing1m", "imagenette/full-size".
      data_dir: where it is written; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.
      manual_dir: folder of files that cannot be downloaded, in official layout (docs/data.md).

    Returns:
      The folder of the prepared data set.

    Raises:
      ValueError: if there is no such data set, or its files are invalid.
    """
    import tensorflow_datasets as tfds

    data_dir, manual_dir = _expanded(data_dir), _expanded(manual_dir)
    if name == "digits" or name.startswith("npz:"):
        raise ValueError(f"{name} needs no preparing")
    name = _SOURCES.get(name, name.removeprefix("tfds:").removeprefix("stream:"))
    if name in OWN_BUILDERS:
        importlib.import_module(f"dm_jax.data.{name}")
    try:
        there = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        known = (*tfds.list_builders(), *OWN_BUILDERS)
        raise errors.unknown("TFDS data set", name, known) from error
    if other := _other_format(there):
        raise ValueError(_not_prepared(name, data_dir, other))
    builder = tfds.builder(name, data_dir=data_dir, file_format="array_record")
    config = tfds.download.DownloadConfig(manual_dir=manual_dir)
    try:
        builder.download_and_prepare(download_config=config)
    except AssertionError as error:  # from TFDS, if the manual folder is missing
        raise ValueError(f"{name}: {error}") from error
    return pathlib.Path(builder.data_path)


def open_prepared(name: str, data_dir: str | None = None) -> Any:
    """The TFDS builder of a data set that is prepared as array_record files.

    Args:
      name: TFDS name: "cifar10", "name/config", "name:version".
      data_dir: where it is stored; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.

    Raises:
      ValueError: if there is no such data set.
      FileNotFoundError: if it is not prepared there; names the command that prepares it.
    """
    import tensorflow_datasets as tfds

    data_dir = _expanded(data_dir)
    try:
        found = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        if name not in OWN_BUILDERS:
            known = (*tfds.list_builders(), *OWN_BUILDERS)
            raise errors.unknown("TFDS data set", name, known) from error
        raise FileNotFoundError(_not_prepared(name, data_dir)) from error
    other = _other_format(found)
    if other or not found.info.splits:
        raise FileNotFoundError(_not_prepared(name, data_dir, other))
    return found


def supervised_features(builder: Any) -> tuple[str, str]:
    """Names of the image and the label feature; raises ValueError without one of each."""
    keys = builder.info.supervised_keys or ("image", "label")
    features = builder.info.features
    if len(keys) == 2 and all(key in features for key in keys):
        kinds = tuple(type(features[key]).__name__ for key in keys)
        if kinds == ("Image", "ClassLabel"):
            pixels = np.dtype(features[keys[0]].np_dtype)
            if pixels.kind != "u":  # TFDS packs floats into colours
                raise ValueError(f"{builder.name} has {pixels} images; only integers are decoded")
            return keys
    raise ValueError(
        f"{builder.name} is not an image classification data set: it has the features "
        f"{', '.join(features)}"
    )


def _other_format(builder: Any) -> str:
    """The format of a data set that is prepared as other files than array_record."""
    if not builder.info.splits or builder.info.file_format.value == "array_record":
        return ""
    return builder.info.file_format.value


def _expanded(folder: str | None) -> str | None:
    """The folder, "~" as the home: a shell leaves it in --data_dir=~/data, and so does TFDS."""
    return folder and os.path.expanduser(folder)


def _not_prepared(name: str, data_dir: str | None, instead: str = "") -> str:
    where = data_dir or "$TFDS_DATA_DIR or ~/tensorflow_datasets"
    found, once = "", "once"
    flag = f" --data_dir={data_dir}" if data_dir else ""
    if instead:
        found, once = f" as array_record files (but as {instead})", "in another folder"
        flag = " --data_dir=FOLDER"
    manual = " --manual_dir=DIR" if name in _MANUAL else ""
    return (
        f"data set {name!r} is not prepared in {where}{found}; prepare it {once} with "
        f"`python -m experiments.prepare {name}{flag}{manual}` (see docs/data.md)"
    )
