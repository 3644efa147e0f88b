"""Emphasis density functions: the paper's four families, the common losses, and your own.

An EDF says how much gradient an example receives, as a function of the probability p of its label:

>>> import jax.numpy as jnp
>>> edf = DM(lam=0.5, beta=8.0)
>>> edf
DM(lam=0.5, beta=8.0)
>>> print(f"{float(edf.mode):.4f} {float(edf.weight(0.0)):.1f} {float(edf.weight(1.0)):.1f}")
0.3333 1.0 1.0

Your own scheme is a function, or a class with parameters, which are then traced, swept and
scheduled as those of the built-in ones:

>>> focal = from_weight(lambda p: (1 - p) ** 2)
>>> class Bump(EDF):
...     centre: float
...     width: float
...     def weight(self, p):
...         return jnp.exp(-(((p - self.centre) / self.width) ** 2))
>>> print(Bump(centre=0.3, width=0.1))
Bump(centre=0.3, width=0.1)

Everything is a function of the soft margin m = logit(p) in the end, which keeps all digits where p
does not.
"""

import dataclasses
import importlib
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import log_sigmoid, sigmoid, softplus
from jax.scipy.special import betaln
from jax.typing import ArrayLike

from dm_jax.edf import EDF, as_float, log_of_function, parameter, static
from dm_jax.errors import unknown

__all__ = [
    "CCE", "DM", "EDF", "GCE", "MAE", "MSE", "Beta", "Exponential", "Normal",
    "create", "from_loss", "from_pdf", "from_weight", "names", "parameter", "static",
]  # fmt: skip


class DM(EDF):
    """Derivative Manipulation: w(p) = exp(beta * p**lam * (1 - p)) (Eq. 12).

    Args:
      lam: where the emphasis lies, at least 0: the mode is lam / (lam + 1).
      beta: how concentrated it is; 0 weights all examples equally.
    """

    lam: float = parameter(minimum=0)
    beta: float

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return jnp.exp(self.beta * _power(p, self.lam) * (1 - p))

    def log_weight(self, margin: ArrayLike) -> Array:
        margin = as_float(margin)
        return self.beta * jnp.exp(self.lam * log_sigmoid(margin) + log_sigmoid(-margin))

    @property
    def mode(self) -> Array:
        return jnp.where(jnp.asarray(self.beta) < 0, 1.0, self.lam / (self.lam + 1.0))


class Normal(EDF):
    """The normal variant: w(p) = exp(-beta * p * (p - 2 * psi)) (Eq. 9).

    Args:
      psi: the emphasis mode, in [0, 1].
      beta: how concentrated it is, at least 0.
    """

    psi: float = parameter(minimum=0, maximum=1)
    beta: float = parameter(minimum=0)

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return jnp.exp(-self.beta * p * (p - 2 * self.psi))

    def log_weight(self, margin: ArrayLike) -> Array:
        p = sigmoid(as_float(margin))
        return -self.beta * p * (p - 2 * self.psi)

    @property
    def mode(self) -> Array:
        return jnp.asarray(self.psi, float)


class Exponential(EDF):
    """The exponential variant: w(p) = exp(beta * (1 - p)) (Eq. 10); its mode is 0, or 1 if beta < 0."""

    beta: float

    def weight(self, p: ArrayLike) -> Array:
        return jnp.exp(self.beta * (1 - as_float(p)))

    def log_weight(self, margin: ArrayLike) -> Array:
        return self.beta * sigmoid(-as_float(margin))

    def log_integral(self) -> Array:
        """log of (exp(beta) - 1) / beta, without overflow and through beta = 0."""
        beta = jnp.asarray(self.beta, float)
        size = jnp.abs(beta)
        safe = jnp.where(size < 1e-3, 1.0, size)
        series = size / 2 + size**2 / 24
        exact = safe + jnp.log(-jnp.expm1(-safe) / safe)
        return jnp.where(size < 1e-3, series, exact) - jnp.maximum(-beta, 0.0)

    @property
    def mode(self) -> Array:
        return jnp.where(jnp.asarray(self.beta) < 0, 1.0, 0.0)


class Beta(EDF):
    """The beta variant: w(p) = p**(alpha - 1) * (1 - p)**(eta - 1) (Eq. 11), alpha and eta at least
    0.

    Up to a constant it holds CCE (1, 2), MAE (2, 2), MSE (2, 3) and GCE (q + 1, 2).
    """

    alpha: float = parameter(minimum=0)
    eta: float = parameter(minimum=0)

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return _power(p, self.alpha - 1) * _power(1 - p, self.eta - 1)

    def log_weight(self, margin: ArrayLike) -> Array:
        margin = as_float(margin)
        return (self.alpha - 1) * log_sigmoid(margin) + (self.eta - 1) * log_sigmoid(-margin)

    def log_integral(self) -> Array:
        return betaln(jnp.asarray(self.alpha, float), jnp.asarray(self.eta, float))

    @property
    def mode(self) -> Array:
        """(alpha - 1) / (alpha + eta - 2) where there is an inside maximum, else the higher end."""
        a, b = jnp.asarray(self.alpha, float) - 1, jnp.asarray(self.eta, float) - 1
        inside = (a > 0) & (b > 0)
        return jnp.where(inside, a / jnp.where(inside, a + b, 1.0), jnp.where(b < a, 1.0, 0.0))


class GCE(EDF):
    """Generalised cross entropy, L = (1 - p**q) / q, q in [0, 1]: w(p) = 2 * p**q * (1 - p) (Eq. 6)."""

    q: float = parameter(minimum=0, maximum=1)

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return 2 * _power(p, self.q) * (1 - p)

    def log_weight(self, margin: ArrayLike) -> Array:
        margin = as_float(margin)
        return math.log(2) + self.q * log_sigmoid(margin) + log_sigmoid(-margin)

    def log_integral(self) -> Array:
        q = jnp.asarray(self.q, float)
        return math.log(2) - jnp.log((q + 1) * (q + 2))

    @property
    def mode(self) -> Array:
        return jnp.asarray(self.q / (self.q + 1.0), float)


class CCE(EDF):
    """Categorical cross entropy: w(p) = 2 * (1 - p) (Eq. 6)."""

    def weight(self, p: ArrayLike) -> Array:
        return 2 * (1 - as_float(p))

    def log_weight(self, margin: ArrayLike) -> Array:
        return math.log(2) + log_sigmoid(-as_float(margin))

    def log_integral(self) -> Array:
        return jnp.zeros(())

    @property
    def mode(self) -> Array:
        return jnp.zeros(())

    def potential(self, margin: ArrayLike) -> Array:
        return softplus(-as_float(margin)) - math.log(2)


class MAE(EDF):
    """Mean absolute error, L = 1 - p: w(p) = 2 * p * (1 - p) (Eq. 6)."""

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return 2 * p * (1 - p)

    def log_weight(self, margin: ArrayLike) -> Array:
        margin = as_float(margin)
        return math.log(2) + log_sigmoid(margin) + log_sigmoid(-margin)

    def log_integral(self) -> Array:
        return -jnp.log(jnp.full((), 3.0))

    @property
    def mode(self) -> Array:
        return jnp.full((), 1 / 2)

    def potential(self, margin: ArrayLike) -> Array:
        return sigmoid(-as_float(margin)) - 1 / 2


class MSE(EDF):
    """Mean squared error, L = (1 - p)**2: w(p) = 4 * p * (1 - p)**2 (Eq. 6)."""

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return 4 * p * (1 - p) ** 2

    def log_weight(self, margin: ArrayLike) -> Array:
        margin = as_float(margin)
        return math.log(4) + log_sigmoid(margin) + 2 * log_sigmoid(-margin)

    def log_integral(self) -> Array:
        return -jnp.log(jnp.full((), 3.0))

    @property
    def mode(self) -> Array:
        return jnp.full((), 1 / 3)

    def potential(self, margin: ArrayLike) -> Array:
        return sigmoid(-as_float(margin)) ** 2 - 1 / 4


class FromWeight(EDF):
    """Any positive function of p as a scheme; see `from_weight`."""

    function: Callable[[Array], Array] = static()

    def weight(self, p: ArrayLike) -> Array:
        return self.function(as_float(p))


class FromPdf(FromWeight):
    """A density over [0, 1] as a scheme; see `from_pdf`."""

    def log_integral(self) -> Array:
        return jnp.zeros(())


class FromLoss(EDF):
    """The scheme of a loss of p; see `from_loss`."""

    loss: Callable[[Array], Array] = static()

    def _steepness(self, p: Array) -> Array:
        return jnp.abs(jax.jvp(self.loss, (p,), (jnp.ones_like(p),))[1])

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return 2 * p * (1 - p) * self._steepness(p)

    def log_weight(self, margin: ArrayLike) -> Array:
        margin = as_float(margin)
        log_steepness = log_of_function(self._steepness, margin)
        return math.log(2) + log_sigmoid(margin) + log_sigmoid(-margin) + log_steepness


def from_weight(function: Callable[[Array], Array]) -> EDF:
    """The scheme with w(p) = function(p): positive, elementwise, of any scale.

    >>> print(f"{float(from_weight(lambda p: p * (1 - p)).mode):.4f}")
    0.5000
    """
    return FromWeight(function)


def from_loss(loss: Callable[[Array], Array]) -> EDF:
    """The scheme of a loss L(p): w = 2 * p * (1 - p) * abs(dL/dp), by automatic differentiation.

    >>> print(f"{float(from_loss(lambda p: -jnp.log(p)).weight(0.25)):.4f}")
    1.5000
    """
    return FromLoss(loss)


def from_pdf(pdf: Callable[[Array], Array]) -> EDF:
    """The scheme whose EDF is a density over [0, 1]. It is taken at its word: `density` is pdf(p).

    >>> from jax.scipy import stats
    >>> print(f"{float(from_pdf(lambda p: stats.beta.pdf(p, 2, 3)).density(0.5)):.4f}")
    1.5000
    """
    return FromPdf(pdf)


_SCHEMES: dict[str, type[EDF]] = {
    cls.__name__.lower(): cls for cls in (DM, Normal, Exponential, Beta, CCE, MAE, MSE, GCE)
}


def names() -> tuple[str, ...]:
    """The names that `create` knows."""
    return tuple(sorted(_SCHEMES))


def create(name: str, **parameters: Any) -> EDF:
    """An EDF by name, in any case, or by the place of a user's own class,
    "package.module:ClassName".

    Raises:
      ValueError: for an unknown name or parameter (naming the nearest), a missing one, or one out
        of range.

    >>> create("dm", lam=0.5, beta=8)
    DM(lam=0.5, beta=8.0)
    """
    cls = _imported(name) if ":" in name else _SCHEMES.get(name.lower())
    if cls is None:
        raise unknown("emphasis scheme", name, _SCHEMES)
    fields = {field.name: field for field in dataclasses.fields(cls)}  # type: ignore[arg-type]
    for given in parameters:
        if given not in fields:
            raise unknown(f"parameter of {name}", given, fields)
    for field in fields.values():
        if field.default is dataclasses.MISSING and field.name not in parameters:
            raise ValueError(f"{name} needs a value for {field.name}")
    return cls(**parameters)


def _imported(path: str) -> type[EDF]:
    module, _, attribute = path.partition(":")
    cls = getattr(importlib.import_module(module), attribute, None)
    if not (isinstance(cls, type) and issubclass(cls, EDF)):
        raise ValueError(f"{path!r} is not a subclass of dm_jax.EDF, but {cls!r}")
    return cls


def _power(base: Array, exponent: ArrayLike) -> Array:
    """base**exponent, in the dtype of the base."""
    return jnp.power(base, jnp.asarray(exponent, base.dtype))
