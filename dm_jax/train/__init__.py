"""Training of single runs and populations from a config, and loading of trained networks."""

from dm_jax.train.build import experiment
from dm_jax.train.config import Config
from dm_jax.train.population import train_population
from dm_jax.train.progress import NoProgress, Progress
from dm_jax.train.recorder import NonFiniteLossError
from dm_jax.train.run import run
from dm_jax.train.summary import Summary
from dm_jax.train.trained import TrainedModel, load
from dm_jax.train.workdir import WorkdirInUseError

__all__ = [
    "Config", "NoProgress", "NonFiniteLossError", "Progress", "Summary", "TrainedModel",
    "WorkdirInUseError", "experiment", "load", "run", "train_population",
]  # fmt: skip
