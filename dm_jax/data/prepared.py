"""Data sets that TFDS has prepared, read without TensorFlow.

TensorFlow is needed to prepare a data set (`python -m experiments.prepare NAME`), never to read
one. TFDS itself is imported inside the functions: not every data set needs it.
"""

from typing import Any

from dm_jax import errors

# Data sets whose builders are in this package; TFDS itself does not know them.
OWN_BUILDERS = ("clothing1m", "mars")


def builder(name: str, data_dir: str | None = None) -> Any:
    """The TFDS builder of a data set that lies prepared as array_record files.

    Args:
      name: as TFDS takes it: "cifar10", "name/config", "name:version".
      data_dir: where it lies; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.

    Raises:
      ValueError: if there is no such data set.
      FileNotFoundError: if it is not prepared there; names the command that prepares it.
    """
    import tensorflow_datasets as tfds

    try:
        found = tfds.builder(name, data_dir=data_dir)
    except tfds.core.DatasetNotFoundError as error:
        if name not in OWN_BUILDERS:
            known = (*tfds.list_builders(), *OWN_BUILDERS)
            raise errors.unknown("TFDS data set", name, known) from error
        raise _not_prepared(name, data_dir) from error
    if not found.info.splits:
        raise _not_prepared(name, data_dir)
    if found.info.file_format is not tfds.core.FileFormat.ARRAY_RECORD:
        raise _not_prepared(name, data_dir, found.info.file_format.value)
    return found


def _not_prepared(name: str, data_dir: str | None, instead: str = "") -> FileNotFoundError:
    where = data_dir or "$TFDS_DATA_DIR or ~/tensorflow_datasets"
    found = f" as array_record files (but as {instead})" if instead else ""
    flag = f" --data_dir={data_dir}" if data_dir else ""
    manual = " --manual_dir=DIR" if name in OWN_BUILDERS else ""
    return FileNotFoundError(
        f"data set {name!r} is not prepared in {where}{found}; prepare it once with "
        f"`python -m experiments.prepare {name}{flag}{manual}` (see docs/data.md)"
    )
