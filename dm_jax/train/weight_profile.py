"""Some weights of a custom scheme: they tell whether its code has changed since it was used."""

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from dm_jax.emphasis.edf import EDF
from dm_jax.emphasis.probability import logit
from dm_jax.train.config import LossConfig
from dm_jax.train.setup import create_edf

_P = (np.arange(24) + 0.37) / 24
# Log weights this far below the largest are as good as zero, and differ between precisions.
_DEPTH = 7.0
_LIMIT = 1e3
# More than devices and precisions differ by.
_TOLERANCE = 0.05


def profile(config: LossConfig) -> list[float]:
    """The `log_weights` of a custom scheme at the start of training; [] of a built-in one.

    Raises:
      TypeError, ValueError: as `create_edf`.
    """
    return log_weights(create_edf(config)) if ":" in config.name else []


def log_weights(edf: EDF) -> list[float]:
    """log w at 24 probabilities between 0 and 1, to two digits."""
    found = np.asarray(edf.log_weight(logit(jnp.asarray(_P, float))), float)
    found = np.nan_to_num(np.broadcast_to(found, _P.shape), posinf=_LIMIT, neginf=-_LIMIT)
    found = np.clip(np.maximum(found, found.max() - _DEPTH), -_LIMIT, _LIMIT)
    return [round(float(value), 2) for value in found]


def same(before: Sequence[float], now: Sequence[float]) -> bool:
    """Whether two profiles are of the same weights; an unknown one, [], is like any other."""
    if not before or not now:
        return True
    return len(before) == len(now) and np.allclose(before, now, rtol=0, atol=_TOLERANCE)
