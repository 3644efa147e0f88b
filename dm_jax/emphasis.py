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

import dataclasses
from typing import Any

import jax.numpy as jnp

from dm_jax import import_path
from dm_jax.edf import EDF, parameter, static
from dm_jax.edf_families import DM, Beta, Exponential, Normal
from dm_jax.edf_of_functions import check_traceable, from_loss, from_pdf, from_weight
from dm_jax.edf_of_losses import CCE, GCE, MAE, MSE
from dm_jax.errors import first_line, unknown

__all__ = [
    "CCE", "DM", "EDF", "GCE", "MAE", "MSE", "Beta", "Exponential", "Normal",
    "create", "from_loss", "from_pdf", "from_weight", "names", "parameter", "static",
]  # fmt: skip


_SCHEMES: dict[str, type[EDF]] = {
    cls.__name__.lower(): cls for cls in (DM, Normal, Exponential, Beta, CCE, MAE, MSE, GCE)
}


def names() -> tuple[str, ...]:
    """The names that `create` accepts."""
    return tuple(sorted(_SCHEMES))


def create(name: str, **parameters: Any) -> EDF:
    """Creates an EDF by name (in any case) or by import path, "package.module:ClassName".

    Raises:
      ValueError: an unknown name or parameter (names the nearest), a missing parameter or one out
        of range, or a custom class with an invalid weight.
      TypeError: a parameter that is not a number.

    >>> create("dm", lam=0.5, beta=8)
    DM(lam=0.5, beta=8.0)
    """
    cls = _scheme_class(name)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for given in parameters:
        if given not in fields:
            raise unknown(f"parameter of {name}", given, fields)
    for field in fields.values():
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and field.name not in parameters:
            raise ValueError(f"{name} needs a value for {field.name}")
    edf = cls(**parameters)
    if ":" in name:
        _check_weight(name, edf)
    return edf


def _scheme_class(name: str) -> type[EDF]:
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if ":" in name:
        return import_path.load_class(name, EDF, "dm_jax.EDF")
    if name.lower() not in _SCHEMES:
        raise unknown("emphasis scheme", name, _SCHEMES)
    return _SCHEMES[name.lower()]


def _check_weight(name: str, edf: EDF) -> None:
    """Raises ValueError if a custom weight is not traceable, not elementwise, or negative."""
    p = jnp.linspace(0.01, 0.99, 99)
    try:
        check_traceable(f"weight of {name}", edf.weight)
    except ValueError:
        raise
    except Exception as error:  # custom code may raise anything
        raise ValueError(f"weight of {name} fails: {first_line(error)}") from error
    try:
        found = jnp.asarray(edf.weight(p))
    except Exception as error:
        raise ValueError(
            f"weight of {name} must be elementwise, but fails for an array of p: "
            f"{first_line(error)}"
        ) from error
    if found.shape not in ((), p.shape):
        raise ValueError(
            f"weight of {name} must be elementwise, but maps {p.shape} to {found.shape}"
        )
    good = jnp.broadcast_to(found >= 0, p.shape)
    if not good.all():
        worst = p[jnp.argmin(good)]
        raise ValueError(f"weight of {name} must be at least 0, but is not at p = {worst:.2f}")
