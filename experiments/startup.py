"""What every command does first."""

import os
import pathlib

import jax
from absl import app, logging


def begin(argv: list[str]) -> None:
    """Quiet logs, a persistent compilation cache, and no stray arguments."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; everything is a flag")
    logging.set_verbosity(logging.WARNING)
    cache = pathlib.Path(os.environ.get("DM_JAX_CACHE", "~/.cache/dm_jax")).expanduser()
    jax.config.update("jax_compilation_cache_dir", str(cache / "xla"))
