"""The base class of emphasis density functions, which derives everything from ``weight(p)``."""

import dataclasses
import inspect
import itertools
import math
from collections.abc import Callable
from typing import Any, dataclass_transform

import jax
import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid
from jax.typing import ArrayLike

from dm_jax import quadrature
from dm_jax.edf_fields import checked, parameter, readable, register, static

# Beyond it a scheme defined by weight(p) alone is extrapolated as a power of p or of 1 - p.
_MAX_MARGIN = 40.0
# Smaller exponents count as 0: there f approaches a limit slowly, as DM's weight does at p = 0.
_MIN_POWER = 0.05
# Least ratio of the rise of log f over the outer quarter of the margins to that over the quarter
# before it: 1 for a power, 0.71 for a logarithm.
_MIN_RISE_RATIO = 0.85


@dataclass_transform(frozen_default=True, field_specifiers=(parameter, static))
class EDF:
    """An emphasis density function: how much gradient an example of probability p = p_y receives.

    Every subclass is made a frozen dataclass and a pytree. Its fields are traced leaves, so one
    compiled step serves all their values; `static` fields are not traced. Only `weight` must be
    defined; a subclass that redefines it inherits nothing derived from its parent's weight:

    >>> class Cosine(EDF):
    ...     rate: float
    ...     def weight(self, p):
    ...         return 1 + jnp.cos(self.rate * p)
    >>> edf = Cosine(rate=3.0)
    >>> print(edf, float(edf.weight(0.0)))
    Cosine(rate=3.0) 2.0

    The methods are elementwise and take arguments of any shape.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_parameters(cls)
        _forget_the_parents(cls)
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
        """log w - `log_scale`: all that a normalised weight depends on."""
        return self.log_weight(margin)

    @property
    def log_scale(self) -> Array:
        """The log of a constant factored out of w, so that normalised weights need no exp(beta)."""
        return jnp.zeros(())

    def log_area(self) -> Array:
        """log of the integral of exp(log_shape) over p in [0, 1]: the constant of Eq. 8."""
        return quadrature.log_integral(lambda m: self.log_shape(m) + sum(log_p_and_q(m)))

    def density(self, p: ArrayLike) -> Array:
        """h(p) = w(p) / integral of w over [0, 1] (Eq. 8)."""
        return jnp.exp(self.log_shape(logit(p)) - self.log_area())

    @property
    def mode(self) -> Array:
        """psi, the probability p at which the weight is largest.

        Its derivative by the parameters is 0 where the weight has a kink or a jump there.
        """
        return sigmoid(quadrature.argmax(self.log_shape))

    def potential(self, margin: ArrayLike) -> Array:
        """phi(m), the loss whose derivative with respect to m is -w/2, with phi(0) = 0."""
        margin = as_float(margin)
        return -0.5 * quadrature.integral_from_zero(lambda m: jnp.exp(self.log_weight(m)), margin)


def _check_parameters(cls: type[EDF]) -> None:
    """Raises TypeError if a parameter has the name of an attribute of every EDF."""
    for name in inspect.get_annotations(cls):
        if hasattr(EDF, name):
            raise TypeError(
                f"{cls.__name__}: a parameter cannot be called {name!r}, the name of an attribute "
                "of every EDF"
            )


def _weight_of_log(self: EDF, p: ArrayLike) -> Array:
    """w(p), from `log_weight`."""
    return jnp.exp(self.log_weight(logit(p)))


def _log_weight_of_shape(self: EDF, margin: ArrayLike) -> Array:
    """log w, from `log_shape` and `log_scale`."""
    return self.log_shape(margin) + self.log_scale


_OF_ANY = {name: vars(EDF)[name] for name in ("log_scale", "log_area", "mode", "potential")}
# Methods derived from each way to define a scheme; the last one that a subclass defines counts.
_DERIVED = {
    "weight": _OF_ANY | {"log_weight": EDF.log_weight, "log_shape": EDF.log_shape},
    "log_weight": _OF_ANY | {"weight": _weight_of_log, "log_shape": EDF.log_shape},
    "log_shape": _OF_ANY | {"weight": _weight_of_log, "log_weight": _log_weight_of_shape},
}


def _forget_the_parents(cls: type[EDF]) -> None:
    """Replaces inherited methods that hold for the parent's weight only."""
    own = _defined_anew(cls)
    defined = [source for source in _DERIVED if source in own]
    for name, derived in _DERIVED[defined[-1]].items() if defined else ():
        if name not in own:
            setattr(cls, name, derived)


def _defined_anew(cls: type[EDF]) -> set[str]:
    """Names defined by the class or by a mixin before its first EDF parent."""
    _, *parents = cls.__mro__
    mixins = itertools.takewhile(lambda parent: not issubclass(parent, EDF), parents)
    return {name for source in (cls, *mixins) for name in vars(source)}


def as_float(value: ArrayLike) -> Array:
    """`value` as a floating-point array; integers become the default float dtype."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def log_p_and_q(margin: Array) -> tuple[Array, Array]:
    """log p and log(1 - p) for p = sigmoid(margin), without cancellation."""
    # Not abs, minimum and maximum: their derivatives at a margin of 0 do not fit together.
    positive = margin >= 0
    small = jnp.log1p(jnp.exp(jnp.where(positive, -margin, margin)))
    return jnp.where(positive, 0, margin) - small, jnp.where(positive, -margin, 0) - small


def power(base: Array, exponent: ArrayLike) -> Array:
    """base**exponent, in the dtype of the base."""
    return jnp.power(base, jnp.asarray(exponent, base.dtype))


def logit(p: ArrayLike) -> Array:
    """The margin of a probability; +-inf at 0 and 1 is clipped to what may be multiplied."""
    p = as_float(p)
    largest = float(jnp.finfo(p.dtype).max)
    limit = math.sqrt(largest) if largest > 1e6 else largest / 8  # float16
    return jnp.clip(jnp.log(p) - jnp.log1p(-p), -limit, limit)


def log_of_function(function: Callable[[Array], Array], margin: ArrayLike) -> Array:
    """log f(sigmoid(m)) for a positive f of p that is given as a function only.

    Rounding p loses digits of 1 - p. The first-order term restores them, unless f has none at
    p = 1: then f is extrapolated as a power of 1 - p from where p still has two digits of 1 - p.
    Beyond `_MAX_MARGIN`, every f is extrapolated as a power.
    """
    margin = as_float(margin)
    first, last = _margin_range(function, margin.dtype)
    near = jnp.clip(margin, first, last)
    (log_p, log_q), (near_p, near_q) = log_p_and_q(margin), log_p_and_q(near)
    of_p = _power_up_to(function, first, 0) * (log_p - near_p)
    of_q = _power_up_to(function, last, 1) * (log_q - near_q)
    return _log_near(function, near) + jnp.where(margin > 0, of_q, of_p)


def _margin_range(function: Callable[[Array], Array], dtype: jnp.dtype) -> tuple[Array, Array]:
    """The range of margins in which f is evaluated: +-`_MAX_MARGIN`, or less if f is irregular.

    At p = 1, f must be of order 0 or 1 in 1 - p; at p = 0, it must be a positive finite float.
    """
    far = jnp.asarray(_MAX_MARGIN, dtype)
    near = -jnp.log(100 * jnp.finfo(dtype).epsneg).astype(dtype)
    value, slope = _value_and_slope(function, jnp.ones((), dtype))
    # A value below zero is the rounding of a zero, as that of cos(pi / 2 * p).
    of_order_one = (value == 0) & (slope < 0)
    at_one = jnp.isfinite(value) & jnp.isfinite(slope) & ((value > 0) | of_order_one)
    at_zero = jnp.isfinite(_log_near(function, -far))
    return jnp.where(at_zero, -far, -near), jnp.where(at_one, far, near)


def _power_up_to(function: Callable[[Array], Array], last: Array, which: int) -> Array:
    """The exponent of p (`which` = 0) or of 1 - p (1) that f has between `last` / 2 and `last`.

    0 if f is zero or not a power, like log p: f is then constant beyond `last`.
    """
    log_f, half_log_f = _log_near(function, last), _log_near(function, last / 2)
    span = log_p_and_q(last)[which] - log_p_and_q(last / 2)[which]
    between = _log_near(function, 0.75 * last)
    finite = jnp.isfinite(log_f) & jnp.isfinite(half_log_f) & jnp.isfinite(between)
    log_f, half_log_f, between = (jnp.where(finite, x, 0.0) for x in (log_f, half_log_f, between))
    exponent = (log_f - half_log_f) / span
    # A power rises as much over the outer part of that range as over the inner; log p, less.
    outer, inner = jnp.abs(log_f - between), jnp.abs(between - half_log_f)
    is_power = (jnp.abs(exponent) >= _MIN_POWER) & (outer >= _MIN_RISE_RATIO * inner)
    return jnp.where(is_power, exponent, 0.0)


def _log_near(function: Callable[[Array], Array], margin: Array) -> Array:
    p = sigmoid(margin)
    lost = jnp.where(margin > 0, (1 - p) - sigmoid(-margin), 0.0)
    value, slope = _value_and_slope(function, p)
    corrected = value + jnp.where(jnp.isfinite(slope), slope, 0.0) * lost
    nothing = corrected <= 0  # not for NaN, which the result should show
    return jnp.where(nothing, -jnp.inf, jnp.log(jnp.where(nothing, 1.0, corrected)))


def _value_and_slope(function: Callable[[Array], Array], p: Array) -> tuple[Array, Array]:
    def float_function(p: Array) -> Array:
        value = jnp.asarray(function(p), p.dtype)
        return jnp.broadcast_to(value, jnp.broadcast_shapes(value.shape, p.shape))

    return jax.jvp(float_function, (p,), (jnp.ones_like(p),))
