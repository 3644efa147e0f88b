"""Custom components by import path, "package.module:name"."""

import importlib
from collections.abc import Callable
from typing import Any

from dm_jax import errors


def load(path: str, fits: Callable[[Any], bool], expected: str) -> Any:
    """What is at "package.module:name"; `expected` describes in errors what fits.

    Raises:
      ValueError: the path is malformed, there is no such module or name, or it does not fit.
    """
    found = _attribute(path, fits)
    if not fits(found):
        raise ValueError(f"{path!r} must be {expected}, got {found!r}")
    return found


def is_subclass(value: Any, base: type) -> bool:
    """Whether the value is a class derived from `base`."""
    return isinstance(value, type) and issubclass(value, base) and value is not base


def call_function(path: str, argument: Any) -> Any:
    """What the function at "package.module:name" returns for the argument.

    Raises:
      ValueError: the path is malformed, there is no such module or name, it is not callable, or it
        fails.
    """
    found = load(path, callable, "a function")
    try:
        return found(argument)
    except Exception as error:  # custom code may raise anything
        what = f"{type(error).__name__}: {errors.first_line(error)}"
        raise ValueError(f"{path} fails: {what}") from error


def _attribute(path: str, fits: Callable[[Any], bool]) -> Any:
    """What is at the path; an error lists the names of the module whose values fit."""
    place, _, name = path.partition(":")
    if not all(part.isidentifier() for part in (*place.split("."), name)):
        raise ValueError(f"expected an import path 'package.module:name', got {path!r}")
    try:
        module = importlib.import_module(place)
    except (ImportError, SyntaxError) as error:
        raise ValueError(f"{path!r} cannot be imported: {error}") from error
    if not hasattr(module, name):
        named = vars(module).items()
        known = [one for one, value in named if fits(value) and not one.startswith("_")]
        raise errors.unknown(f"name in {place}:", name, known)
    return getattr(module, name)
