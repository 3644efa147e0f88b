"""dm_jax: Derivative Manipulation (arXiv 1905.11233) in JAX."""

import importlib
import typing

from dm_jax import emphasis
from dm_jax.emphasis import (
    CCE,
    DM,
    EDF,
    GCE,
    MAE,
    MSE,
    Beta,
    Exponential,
    Normal,
    from_loss,
    from_pdf,
    from_weight,
)
from dm_jax.losses import dm_softmax_cross_entropy

__version__ = "0.1.0"

__all__ = [
    "CCE", "DM", "EDF", "GCE", "MAE", "MSE", "Beta", "Exponential", "Normal",
    "dm_softmax_cross_entropy", "emphasis", "from_loss", "from_pdf", "from_weight",
]  # fmt: skip

if typing.TYPE_CHECKING:
    from dm_jax import data as data
    from dm_jax import metrics as metrics
    from dm_jax import models as models
    from dm_jax import noise as noise
    from dm_jax import retrieval as retrieval
    from dm_jax import train as train
else:  # imported when first used: `train` alone takes a second
    _ROOMS = ("data", "metrics", "models", "noise", "retrieval", "train")

    def __getattr__(name: str):
        if name in _ROOMS:
            return importlib.import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted([*__all__, *_ROOMS, "__version__"])
