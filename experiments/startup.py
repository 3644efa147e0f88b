"""What every command does before it computes anything."""

import os
import pathlib
import sys
from collections.abc import Callable

import jax
from absl import app, logging

# What reading the flags raises where one of them, or the config that it names, is wrong.
_BAD_FLAGS = (AttributeError, ImportError, KeyError, OSError, TypeError, ValueError)


def prepare() -> None:
    """Keeps compiled programs from one start to the next, and the libraries' chatter off.

    Programs lie in ~/.cache/dm_jax/jax, or where JAX_COMPILATION_CACHE_DIR says.
    """
    logging.set_verbosity(logging.WARNING)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache / "dm_jax" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)


def run(main: Callable[[list[str]], None]) -> None:
    """`app.run`, where a bad flag is one line instead of a traceback."""
    app.run(main, flags_parser=_parse)


def _parse(argv: list[str]) -> list[str]:
    try:
        return app.parse_flags_with_usage(argv)
    except _BAD_FLAGS as error:
        sys.exit(f"error: {_said(error)}")


def _said(error: BaseException) -> str:
    """What ml_collections says of a key it does not know, or the error's own message."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, KeyError):  # an AttributeError around it
        error = cause
    if isinstance(error, KeyError):
        return f"unknown config key {error.args[0]}".replace("\n", ". ")
    return str(error)
