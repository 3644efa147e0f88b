"""Errors and checks shared by all packages."""

import difflib
import numbers
from collections.abc import Iterable
from typing import Any

import numpy as np

_MAX_LISTED = 40  # names


def unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    """A ValueError for an unknown name that gives the nearest known name and all known names.

    The shortest that starts with the name is the nearest. Long lists are left out.

    >>> unknown("model", "resnet4", ["resnet44", "mlp"])
    ValueError("unknown model 'resnet4'; did you mean 'resnet44'? Known: mlp, resnet44")
    """
    known = sorted(known)
    in_any_case = {one.lower(): one for one in known}
    given = str(name).lower()
    longer = [one for one in in_any_case if len(given) > 2 and one.startswith(given)]
    closest = difflib.get_close_matches(given, in_any_case, n=1, cutoff=0.5)
    near = sorted(longer, key=len) or closest
    hint = f"; did you mean {in_any_case[near[0]]!r}?" if near else "."
    listed = "" if len(known) > _MAX_LISTED else f" Known: {', '.join(known) or 'none'}"
    return ValueError(f"unknown {what} {name!r}{hint}{listed}")


def first_line(error: BaseException) -> str:
    """The first line of an error's message, at most 200 characters, to quote in another one."""
    return str(error).split("\n")[0][:200]


def is_transient(error: Exception) -> bool:
    """Whether an error of reading files is the machine's: they may be intact, a retry succeed."""
    of_the_files = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    return isinstance(error, MemoryError | OSError) and not of_the_files


def check_number(name: str, value: Any) -> None:
    """Raises TypeError unless the value is a real number."""
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise TypeError(f"{name} must be a number, got {value!r}")


def check_integer(name: str, value: Any, *, minimum: int) -> None:
    """Raises unless the value is an integer of at least the minimum."""
    if not isinstance(value, numbers.Integral) or isinstance(value, bool):
        raise TypeError(f"{name} must be an integer, got {value!r}")
    if value < minimum:
        raise ValueError(f"{name} must be at least {minimum}, got {value}")


def check_finite(name: str, rows: np.ndarray) -> None:
    """Raises ValueError if an array [n, ...] of numbers has NaN or infinity; names the row."""
    if rows.dtype.kind not in "iu" and not (finite := np.isfinite(rows)).all():
        raise ValueError(f"{name} must be finite, row {np.argwhere(~finite)[0, 0]} is not")
