"""Training: state, step, parallelism, loop, checkpoints, writers."""

from dm_jax.train.config import Config
from dm_jax.train.recorder import NonFiniteLossError, Unwatched, Watcher
from dm_jax.train.run import run
from dm_jax.train.summary import Summary

__all__ = ["Config", "NonFiniteLossError", "Summary", "Unwatched", "Watcher", "run"]
