"""Array files: written whole or not at all, and read with suspicion."""

import os
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dm_jax import files

# RuntimeError, and NotImplementedError below it: zipfile, asked by a damaged header for too much.
_DAMAGE = (OSError, ValueError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


def read(path: str | os.PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named arrays of an .npz; where one is asked for, an .npy will do. Unpickles nothing.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: the file is damaged, not of this kind, or lacks an array; names file and array.
    """
    try:
        with open(path, "rb") as file:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                content = {names[0]: content} if len(names) == 1 else {}
            arrays = {name: content[name] for name in names if name in content}
    except FileNotFoundError:
        raise
    except _DAMAGE as error:
        raise ValueError(f"{path} is damaged or no array file: {error}") from error
    # What is no .npy inside the zip comes as bytes.
    missing = [name for name in names if not isinstance(arrays.get(name), np.ndarray)]
    if missing:
        raise ValueError(f"{path} lacks the arrays: {', '.join(missing)}")
    return arrays


def write(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
    """Writes a compressed .npz that takes its place only when it is complete and on disk.

    Folders on the way are made. What was there before stays until then.
    """
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as file:
        np.savez_compressed(file, **arrays)
