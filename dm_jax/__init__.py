"""dm_jax: Derivative Manipulation (arXiv 1905.11233) in JAX."""

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
