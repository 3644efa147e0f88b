"""What every command does before it computes anything."""

import os
import pathlib

import jax
from absl import logging


def prepare() -> None:
    """Keeps compiled programs from one start to the next, and the libraries' chatter off.

    Programs lie in ~/.cache/dm_jax/jax, or where JAX_COMPILATION_CACHE_DIR says.
    """
    logging.set_verbosity(logging.WARNING)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache / "dm_jax" / "jax"))
