"""Emphasis density functions of functions of p: a weight, a loss or a density."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import ArrayLike

from dm_jax.emphasis.edf import EDF, static
from dm_jax.emphasis.log_function import log_of_function
from dm_jax.emphasis.probability import as_float, log_p_and_q


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
    """The scheme with w(p) = fn(p).

    Args:
      fn: elementwise function of p in [0, 1], at least 0 and of any scale, written with jax.numpy.

    Raises:
      TypeError: fn is no function, or does not return a number.
      ValueError: fn cannot be traced.

    >>> print(f"{float(from_weight(lambda p: p * (1 - p)).mode):.4f}")
    0.5000
    """
    _check_function("from_weight", fn)
    return FromWeight(fn)


def from_loss(fn: Callable[[Array], Array]) -> EDF:
    """The scheme of a loss L(p) = fn(p): w = 2 * p * (1 - p) * abs(dL/dp), by autodiff (Eq. 6).

    Args:
      fn: elementwise differentiable function of p in (0, 1], written with jax.numpy.

    Raises:
      TypeError: fn is no function, or does not return a number.
      ValueError: fn cannot be traced.

    >>> print(f"{float(from_loss(lambda p: -jnp.log(p)).weight(0.25)):.4f}")
    1.5000
    """
    _check_function("from_loss", fn)
    return FromLoss(fn)


def from_pdf(fn: Callable[[Array], Array]) -> EDF:
    """The scheme of a density over [0, 1]; `density` returns fn(p) without renormalising.

    Args:
      fn: elementwise function of p in [0, 1], whose integral is one, written with jax.numpy.

    Raises:
      TypeError: fn is no function, or does not return a number.
      ValueError: fn cannot be traced.

    >>> from jax.scipy import stats
    >>> print(f"{float(from_pdf(lambda p: stats.beta.pdf(p, 2, 3)).density(0.5)):.4f}")
    1.5000
    """
    _check_function("from_pdf", fn)
    return FromPdf(fn)


def _check_function(caller: str, fn: Any) -> None:
    """Raises unless `fn` is a traceable function of p that returns a number."""
    if not callable(fn):
        raise TypeError(f"{caller} takes a function of p, got {fn!r}")
    found = check_traceable(f"the function of {caller}", fn)
    if not hasattr(found, "dtype"):
        raise TypeError(f"the function of {caller} must return a number, got {found!r}")


def check_traceable(name: str, fn: Callable[[Array], Any]) -> Any:
    """The shape of fn(p); raises ValueError if it cannot be traced."""
    try:
        return jax.eval_shape(fn, jax.ShapeDtypeStruct((), jnp.float32))
    except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError) as error:
        raise ValueError(
            f"{name} cannot be traced: it needs the value of p, as `if p > ...` and np.exp do; "
            "write it with jax.numpy, such as jnp.where"
        ) from error
