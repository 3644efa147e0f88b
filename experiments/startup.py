"""What every command does before it computes anything, and how it ends when something is wrong."""

import contextlib
import functools
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator

import jax
from absl import app, flags, logging

# What reading the flags raises where one of them, or the config that it names, is wrong.
_BAD_FLAGS = (AttributeError, ImportError, KeyError, OSError, TypeError, ValueError, flags.Error)
# What is wrong with the data, the config or the machine; anything else is a mistake of ours.
_EXPECTED = (ArithmeticError, ImportError, OSError, RuntimeError, TypeError, ValueError)


def prepare() -> None:
    """Keeps compiled programs from one start to the next, and the libraries' chatter off.

    Programs lie in ~/.cache/dm_jax/jax, or where JAX_COMPILATION_CACHE_DIR says.
    """
    logging.set_verbosity(logging.WARNING)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache / "dm_jax" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def run(main: Callable[[], None]) -> None:
    """`app.run` of a command, where what goes wrong is one line and exit code 1."""
    app.run(functools.partial(_main, main), flags_parser=_parse)


def _main(main: Callable[[], None], argv: list[str]) -> None:
    if len(argv) > 1:
        extra = " ".join(argv[1:])
        sys.exit(f"error: unexpected {extra!r}: flags read --name=value, and lists have no blanks")
    prepare()
    with in_a_line():
        main()


@contextlib.contextmanager
def in_a_line() -> Iterator[None]:
    """What goes wrong within is one line and exit code 1; a warning is one line."""
    warnings.formatwarning = _in_a_line
    try:
        yield
    except _EXPECTED as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("interrupted; what had been written stays")


def _in_a_line(message: Warning | str, *_: object, **__: object) -> str:
    """A warning as errors are said: what is wrong, not where in the code it was noticed."""
    return f"warning: {message}\n"


def folder(flag: str, value: str) -> pathlib.Path:
    """The folder that a flag names, if it is one that can be written to, or made.

    Raises:
      ValueError: it is not.
    """
    if not value:
        raise ValueError(f"{flag} is empty; it takes a folder")
    found = pathlib.Path(value)
    there = next(path for path in (found.absolute(), *found.absolute().parents) if path.exists())
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"{flag}={value}: {there} is not a folder that can be written to")
    return found


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS(argv)
    except _BAD_FLAGS as error:
        sys.exit(f"error: {_said(error)}")


def _said(error: BaseException) -> str:
    """The error's own message; of ml_collections' what it says at their end."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, KeyError):  # an AttributeError around it
        error = cause
    if isinstance(error, KeyError):
        return f"unknown config key {error.args[0]}".replace("\n", ". ")
    if missing := re.search(r"\[Errno 2\] No such file or directory: '(.*)'", str(error)):
        return f"there is no config file {missing[1]!r}"
    *_, last = str(error).strip().split("\n")
    return re.sub(r"^\w*Error: ", "", last) if "Traceback" in str(error) else str(error)
