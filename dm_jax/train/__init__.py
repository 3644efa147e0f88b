"""Training: one run or many at once, from a config to numbers, and the network that it leaves."""

from dm_jax.train.build import experiment
from dm_jax.train.config import Config
from dm_jax.train.population import train_population
from dm_jax.train.recorder import NonFiniteLossError, Unwatched, Watcher
from dm_jax.train.run import run
from dm_jax.train.summary import Summary
from dm_jax.train.trained import Trained, load

__all__ = [
    "Config", "NonFiniteLossError", "Summary", "Trained", "Unwatched", "Watcher",
    "experiment", "load", "run", "train_population",
]  # fmt: skip
