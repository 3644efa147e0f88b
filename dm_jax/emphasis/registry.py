"""Emphasis density functions by name."""

import dataclasses
from collections.abc import Collection, Iterable
from typing import Any

import jax
import jax.numpy as jnp

from dm_jax import import_path
from dm_jax.emphasis.common_losses import CCE, GCE, MAE, MSE
from dm_jax.emphasis.edf import EDF
from dm_jax.emphasis.families import DM, Beta, Exponential, Normal
from dm_jax.emphasis.from_functions import check_traceable
from dm_jax.emphasis.probability import logit
from dm_jax.errors import first_line, unknown

_SCHEMES: dict[str, type[EDF]] = {
    cls.__name__.lower(): cls for cls in (DM, Normal, Exponential, Beta, CCE, MAE, MSE, GCE)
}


def names() -> tuple[str, ...]:
    """The names that `create` accepts."""
    return tuple(sorted(_SCHEMES))


def create(name: str, /, **parameters: Any) -> EDF:
    """Creates an EDF by name (in any case) or by import path, "package.module:name".

    The path is of a class, or of an EDF (as `dm_jax.from_weight` makes), whose values are kept
    where none is given.

    Raises:
      ValueError: an unknown name or parameter (names the nearest), a missing parameter or one out
        of range, or a custom scheme with an invalid weight.
      TypeError: a parameter that is not a number.

    >>> create("dm", lam=0.5, beta=8)
    DM(lam=0.5, beta=8.0)
    """
    scheme = _scheme(name)
    fields = {field.name: field for field in dataclasses.fields(scheme)}  # type: ignore[arg-type]
    for given in parameters:
        if given not in fields:
            raise unknown(f"parameter of {name}", given, fields)
    if isinstance(scheme, EDF):
        edf = scheme.replace(**parameters)
    else:
        _check_complete(name, fields.values(), parameters)
        edf = scheme(**parameters)
    if ":" in name:
        _check_weight(name, edf)
    return edf


def _scheme(name: str) -> type[EDF] | EDF:
    if not isinstance(name, str):
        raise TypeError(f"name must be a string, got {name!r}")
    if ":" in name:
        return import_path.load(name, _is_scheme, "a subclass of dm_jax.EDF, or an EDF")
    if name.lower() not in _SCHEMES:
        raise unknown("emphasis scheme", name, _SCHEMES)
    return _SCHEMES[name.lower()]


def _is_scheme(value: Any) -> bool:
    return isinstance(value, EDF) or import_path.is_subclass(value, EDF)


def _check_complete(
    name: str, fields: Iterable[dataclasses.Field], parameters: Collection[str]
) -> None:
    """Raises ValueError unless the parameters have every field without a default."""
    for field in fields:
        required = (
            field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        )
        if required and field.name not in parameters:
            raise ValueError(f"{name} needs a value for {field.name}")


def _check_weight(name: str, edf: EDF) -> None:
    """Raises ValueError unless a weight is differentiable, elementwise and not negative."""
    p = jnp.linspace(0.01, 0.99, 99)
    try:
        check_traceable(f"weight of {name}", edf.weight)
    except Exception as error:  # custom code may raise anything
        if str(error).startswith("weight of"):
            raise
        raise ValueError(f"weight of {name} fails: {first_line(error)}") from error
    try:
        found, alone = jnp.asarray(edf.weight(p)), jax.vmap(edf.weight)(p)
    except Exception as error:
        raise ValueError(
            f"weight of {name} must be elementwise, but fails for an array of p: "
            f"{first_line(error)}"
        ) from error
    if found.shape not in ((), p.shape):
        raise ValueError(
            f"weight of {name} must be elementwise, but maps {p.shape} to {found.shape}"
        )
    if alone.shape == p.shape and not _are_alike(alone, found):
        raise ValueError(
            f"weight of {name} must be elementwise, but the weight of one p depends on the others"
        )
    try:
        edf.log_shape(logit(p))  # not abstractly: there, JAX notices only when it compiles
    except Exception as error:
        raise ValueError(
            f"log_shape of {name}, by default from weight and its forward derivative, fails: "
            f"{first_line(error)}"
        ) from error
    good = jnp.broadcast_to(found >= 0, p.shape)
    if not good.all():
        worst = p[jnp.argmin(good)]
        value = jnp.broadcast_to(found, p.shape)[jnp.argmin(good)]
        raise ValueError(f"weight of {name} must be at least 0, is {value:.3g} at p = {worst:.2f}")


def _are_alike(a: jax.Array, b: jax.Array) -> bool:
    """Whether weights are equal up to rounding, whatever their scale; NaN equals NaN."""
    largest = jnp.where(jnp.isfinite(a), jnp.abs(a), 0).max()
    return bool(jnp.allclose(a, b, rtol=1e-3, atol=1e-6 * largest, equal_nan=True))
