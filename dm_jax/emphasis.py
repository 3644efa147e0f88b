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
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from dm_jax import import_path
from dm_jax.edf import EDF, parameter, static
from dm_jax.edf_families import DM, Beta, Exponential, Normal
from dm_jax.edf_of_losses import CCE, GCE, MAE, MSE
from dm_jax.errors import first_line, unknown
from dm_jax.log_function import log_of_function
from dm_jax.probability import as_float, log_p_and_q

__all__ = [
    "CCE", "DM", "EDF", "GCE", "MAE", "MSE", "Beta", "Exponential", "Normal",
    "create", "from_loss", "from_pdf", "from_weight", "names", "parameter", "static",
]  # fmt: skip


class FromWeight(EDF):
    """A function of p as a scheme; see `from_weight`."""

    function: Callable[[Array], Array] = static()

    def weight(self, p: ArrayLike) -> Array:
        return self.function(as_float(p))


class FromPdf(FromWeight):
    """A density over [0, 1] as a scheme; see `from_pdf`."""

    def log_area(self) -> Array:
        return jnp.zeros(())


class FromLoss(EDF):
    """The scheme of a loss L(p); see `from_loss`."""

    loss: Callable[[Array], Array] = static()

    def log_weight(self, margin: ArrayLike) -> Array:
        margin = as_float(margin)
        log_p, log_q = log_p_and_q(margin)
        log_p_beyond_half = jnp.maximum(log_p, -math.log(2)) + math.log(2)
        return math.log(2) + log_q + log_p_beyond_half + log_of_function(self._steepness, margin)

    def _steepness(self, p: Array) -> Array:
        """abs(dL/dp) * min(p, 1/2): most losses have a finite slope in log p as p goes to 0."""
        _, slope = jax.jvp(lambda p: jnp.asarray(self.loss(p), p.dtype), (p,), (jnp.ones_like(p),))
        return jnp.minimum(p, 0.5) * jnp.abs(slope)


def from_weight(fn: Callable[[Array], Array]) -> EDF:
    """The scheme with w(p) = fn(p), elementwise, at least 0 and of any scale.

    >>> print(f"{float(from_weight(lambda p: p * (1 - p)).mode):.4f}")
    0.5000
    """
    _check_function("from_weight", fn)
    return FromWeight(fn)


def from_loss(fn: Callable[[Array], Array]) -> EDF:
    """The scheme of a loss L(p) = fn(p): w = 2 * p * (1 - p) * abs(dL/dp), by autodiff.

    >>> print(f"{float(from_loss(lambda p: -jnp.log(p)).weight(0.25)):.4f}")
    1.5000
    """
    _check_function("from_loss", fn)
    return FromLoss(fn)


def from_pdf(fn: Callable[[Array], Array]) -> EDF:
    """The scheme of a density over [0, 1]; `density` returns fn(p) without renormalising.

    >>> from jax.scipy import stats
    >>> print(f"{float(from_pdf(lambda p: stats.beta.pdf(p, 2, 3)).density(0.5)):.4f}")
    1.5000
    """
    _check_function("from_pdf", fn)
    return FromPdf(fn)


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


def _check_function(caller: str, fn: Any) -> None:
    """Raises unless `fn` is a traceable function of p that returns a number."""
    if not callable(fn):
        raise TypeError(f"{caller} takes a function of p, got {fn!r}")
    found = _check_traceable(f"the function of {caller}", fn)
    if not hasattr(found, "dtype"):
        raise TypeError(f"the function of {caller} must return a number, got {found!r}")


def _check_traceable(name: str, fn: Callable[[Array], Any]) -> Any:
    """The shape of fn(p); raises ValueError if it cannot be traced."""
    try:
        return jax.eval_shape(fn, jax.ShapeDtypeStruct((), jnp.float32))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise ValueError(
            f"{name} cannot be traced: it needs the value of p, as `if p > ...` and np.exp do; "
            "write it with jax.numpy, such as jnp.where"
        ) from error


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
    _check_traceable(f"weight of {name}", edf.weight)
    try:
        found = jnp.asarray(edf.weight(p))
    except Exception as error:  # custom code may raise anything
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
