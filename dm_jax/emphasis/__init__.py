"""Emphasis density functions: the paper's four families, common losses and custom schemes.

An EDF says how much gradient an example receives, as a function of the probability p of its label:

>>> import jax.numpy as jnp
>>> edf = DM(lam=0.5, beta=8.0)
>>> edf
DM(lam=0.5, beta=8.0)
>>> print(f"{float(edf.mode):.4f} {float(edf.weight(0.0)):.1f} {float(edf.weight(1.0)):.1f}")
0.3333 1.0 1.0

A custom scheme is a function of p, or a class whose parameters are traced, swept and scheduled like
those of the built-in schemes:

>>> focal = from_weight(lambda p: (1 - p) ** 2)
>>> class Bump(EDF):
...     centre: float
...     width: float
...     def weight(self, p):
...         return jnp.exp(-(((p - self.centre) / self.width) ** 2))
>>> print(Bump(centre=0.3, width=0.1))
Bump(centre=0.3, width=0.1)

Internally everything is a function of the soft margin m = logit(p), which keeps its precision where
p does not.
"""

from dm_jax.emphasis.common_losses import CCE, GCE, MAE, MSE
from dm_jax.emphasis.edf import EDF, parameter, static
from dm_jax.emphasis.families import DM, Beta, Exponential, Normal
from dm_jax.emphasis.from_functions import from_loss, from_pdf, from_weight
from dm_jax.emphasis.registry import create, names

__all__ = [
    "CCE", "DM", "EDF", "GCE", "MAE", "MSE", "Beta", "Exponential", "Normal",
    "create", "from_loss", "from_pdf", "from_weight", "names", "parameter", "static",
]  # fmt: skip
