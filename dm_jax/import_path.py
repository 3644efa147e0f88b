"""Custom components by import path, "package.module:name"."""

import importlib
from typing import Any

from dm_jax import errors


def load_class(path: str, base: type, called: str) -> Any:
    """The subclass of `base` at "package.module:name"; errors refer to the base as `called`.

    Raises:
      ValueError: the path is malformed, there is no such module or name, or it is not a subclass
        of `base`.
    """
    found = _attribute(path)
    if not (isinstance(found, type) and issubclass(found, base)):
        raise ValueError(f"{path!r} must be a subclass of {called}, got {found!r}")
    return found


def load_function(path: str) -> Any:
    """The function at "package.module:name".

    Raises:
      ValueError: the path is malformed, there is no such module or name, or it is not callable.
    """
    found = _attribute(path)
    if not callable(found):
        raise ValueError(f"{path!r} must be a function, got {found!r}")
    return found


def _attribute(path: str) -> Any:
    place, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*place.split("."), name)):
        raise ValueError(f"expected an import path 'package.module:name', got {path!r}")
    try:
        module = importlib.import_module(place)
    except (ImportError, SyntaxError) as error:
        raise ValueError(f"{path!r} cannot be imported: {error}") from error
    if not hasattr(module, name):
        public = [known for known in vars(module) if not known.startswith("_")]
        raise errors.unknown(f"name in {place}:", name, public)
    return getattr(module, name)
