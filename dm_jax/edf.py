"""The base class of emphasis density functions, and what it derives from ``weight(p)`` alone."""

import dataclasses
from collections.abc import Callable
from typing import Any, dataclass_transform

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid
from jax.typing import ArrayLike

from dm_jax import quadrature
from dm_jax.fields import checked, parameter, readable, register, static

# From half this margin on every power of p or 1 - p is a line in log space, to the last digits.
_FAR = 40.0


@dataclass_transform(frozen_default=True, field_specifiers=(parameter, static))
class EDF:
    """An emphasis density function: how much gradient an example of probability p = p_y receives.

    A subclass is made a frozen dataclass and a pytree by subclassing. Its fields are traced leaves,
    so one compiled step serves all their values; `static` fields are not. `weight` is all it has to
    define:

    >>> class Cosine(EDF):
    ...     rate: float
    ...     def weight(self, p):
    ...         return 1 + jnp.cos(self.rate * p)
    >>> edf = Cosine(rate=3.0)
    >>> print(edf, float(edf.weight(0.0)))
    Cosine(rate=3.0) 2.0

    Arguments and results of the methods are elementwise, of any shape.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, repr=False)(cls)
        register(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if not field.metadata.get("static"):
                value = checked(type(self).__name__, field, getattr(self, field.name))
                object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        values = (f"{name}={readable(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({', '.join(values)})"

    def weight(self, p: ArrayLike) -> Array:
        """w(p): the L1 norm of the gradient of an example whose label has probability p."""
        raise NotImplementedError(f"{type(self).__name__} must define weight(p)")

    def log_weight(self, margin: ArrayLike) -> Array:
        """log w at p = sigmoid(margin); -inf where the weight is zero."""
        return log_of_function(self.weight, margin)

    def log_shape(self, margin: ArrayLike) -> Array:
        """log w less `log_scale`: all that a normalised weight depends on."""
        return self.log_weight(margin)

    @property
    def log_scale(self) -> Array:
        """A constant factored out of w, as a logarithm, so that exp(beta) never has to exist."""
        return jnp.zeros(())

    def log_area(self) -> Array:
        """log of the integral of exp(log_shape) over p in [0, 1]: the constant of Eq. 8."""
        return quadrature.log_integral(lambda m: self.log_shape(m) + sum(log_p_and_q(m)))

    def density(self, p: ArrayLike) -> Array:
        """h(p) = w(p) / integral of w over [0, 1] (Eq. 8)."""
        return jnp.exp(self.log_shape(logit(p)) - self.log_area())

    @property
    def mode(self) -> Array:
        """psi, the probability p at which the weight is largest."""
        return sigmoid(quadrature.argmax(self.log_shape))

    def potential(self, margin: ArrayLike) -> Array:
        """phi(m), the loss whose derivative by the margin is -w/2, with phi(0) = 0."""
        margin = as_float(margin)
        return -0.5 * quadrature.integral_from_zero(lambda m: jnp.exp(self.log_weight(m)), margin)


class ScaledEDF(EDF):
    """A scheme written as w = exp(log_scale) * exp(log_shape), neither of which overflows."""

    def log_weight(self, margin: ArrayLike) -> Array:
        return self.log_shape(margin) + self.log_scale


def as_float(value: ArrayLike) -> Array:
    """A floating point array: integers become the default float."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def log_p_and_q(margin: Array) -> tuple[Array, Array]:
    """log p and log(1 - p) of p = sigmoid(margin), neither of them cancelling."""
    small = jnp.log1p(jnp.exp(-jnp.abs(margin)))
    return jnp.minimum(margin, 0) - small, -jnp.maximum(margin, 0) - small


def power(base: Array, exponent: ArrayLike) -> Array:
    """base**exponent, in the dtype of the base."""
    return jnp.power(base, jnp.asarray(exponent, base.dtype))


def logit(p: ArrayLike) -> Array:
    """The margin of a probability; +-inf at the ends is cut to the largest finite float."""
    p = as_float(p)
    return jnp.clip(jnp.log(p) - jnp.log1p(-p), jnp.finfo(p.dtype).min, jnp.finfo(p.dtype).max)


def log_of_function(function: Callable[[Array], Array], margin: ArrayLike) -> Array:
    """log f(sigmoid(m)) for a positive f of p that is known as a program only.

    p loses the digits of 1 - p when it is rounded; the first-order term restores them. Beyond
    `_FAR`, log f is continued as a line.
    """
    margin = as_float(margin)
    near = jnp.clip(margin, -_FAR, _FAR)
    slope = jnp.where(margin > 0, _tail_slope(function, margin.dtype, 1), 0.0)
    slope = jnp.where(margin < 0, _tail_slope(function, margin.dtype, -1), slope)
    return _log_near(function, near) + slope * (margin - near)


def _tail_slope(function: Callable[[Array], Array], dtype: jnp.dtype, side: int) -> Array:
    """The slope of log f(sigmoid(m)) far on one side; 0 where f is zero there."""
    far = _log_near(function, jnp.full((), side * _FAR, dtype))
    half = _log_near(function, jnp.full((), side * _FAR / 2, dtype))
    finite = jnp.isfinite(far) & jnp.isfinite(half)
    return jnp.where(finite, far - half, 0.0) / (side * _FAR / 2)


def _log_near(function: Callable[[Array], Array], margin: Array) -> Array:
    def value_and_slope(p: Array) -> tuple[Array, Array]:
        def float_function(p: Array) -> Array:
            return jnp.broadcast_to(function(p), p.shape).astype(p.dtype)

        return jax.jvp(float_function, (p,), (jnp.ones_like(p),))

    # Where f has a pole at one, p stops short of it.
    regular = jnp.isfinite(sum(value_and_slope(jnp.ones((), margin.dtype))))
    last = jnp.where(regular, 1, 1 - jnp.finfo(margin.dtype).epsneg)
    p = jnp.minimum(sigmoid(margin), last)
    lost = jnp.where(margin > 0, (1 - p) - sigmoid(-margin), 0.0)
    value, slope = value_and_slope(p)
    corrected = value + jnp.where(jnp.isfinite(slope), slope, 0.0) * lost
    positive = corrected > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, corrected, 1.0)), -jnp.inf)
