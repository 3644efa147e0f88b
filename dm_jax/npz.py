"""Array files, written atomically and validated when read."""

import os
import pathlib
import tokenize
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dm_jax import files

# zipfile raises RuntimeError and its subclass NotImplementedError for some damaged headers.
_DAMAGE = (
    OSError,
    ValueError,
    EOFError,
    RuntimeError,
    SyntaxError,
    TypeError,
    OverflowError,
    tokenize.TokenError,
    zipfile.BadZipFile,
    zlib.error,
)

_MAGIC = (b"PK", b"\x93NUMPY")  # of .npz, which is a zip, and .npy


def read(path: str | os.PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """Reads the named arrays of an .npz, or a single one from an .npy; unpickles nothing.

    Raises:
      OSError: there is no such file, or it cannot be opened.
      ValueError: the file is damaged, not of this kind, or lacks an array; names file and array.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file {os.path.abspath(path)}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{os.path.abspath(path)} is a folder, not an .npy or .npz file")
    with open(path, "rb") as file:
        if not file.peek(6).startswith(_MAGIC):
            raise ValueError(f"{path} is damaged or not an .npy or .npz file")
        try:
            content = np.load(file, allow_pickle=False)
            if isinstance(content, np.ndarray):
                content = {names[0]: content} if len(names) == 1 else {}
            arrays = {name: content[name] for name in names if name in content}
        except _DAMAGE as error:
            if "Object arrays" in str(error):
                raise ValueError(
                    f"{path} holds arrays of Python objects, which are not unpickled; save numbers "
                    "(numpy.unique(labels, return_inverse=True)[1] makes some of text)"
                ) from error
            raise ValueError(f"{path} is damaged or not an array file: {error}") from error
    # Members of the zip that are not .npy are read as bytes.
    missing = [name for name in names if not isinstance(arrays.get(name), np.ndarray)]
    if missing:
        raise ValueError(f"{path} lacks the arrays: {', '.join(missing)}")
    return arrays


def write(path: str | os.PathLike, arrays: Mapping[str, Any]) -> None:
    """Writes a compressed .npz atomically; an old file is kept until the new one is on disk.

    Missing folders are created.
    """
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    with files.atomic_write(path) as file:
        np.savez_compressed(file, **arrays)
