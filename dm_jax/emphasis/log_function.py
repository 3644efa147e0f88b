"""log f(p) of the soft margin, for a function f of the probability p that knows no margin."""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn import sigmoid
from jax.typing import ArrayLike

from dm_jax.dtypes import at_least_float32
from dm_jax.emphasis.probability import as_float, log_p_and_q

Function = Callable[[Array], Array]

# Beyond it every f is extrapolated.
_LARGEST_MEASURED = 40.0
# Smaller exponents count as 0: there f approaches a limit slowly, as DM's weight does at p = 0.
_MIN_POWER = 0.05
# A function is no power, but slow as log p is, if its exponent is smaller than the first of these
# and falls by more than the second, relatively, while p or 1 - p falls 64-fold.
_SLOW, _FALL = 0.4, 0.1


def log_of_function(function: Function, margin: ArrayLike) -> Array:
    """log f(sigmoid(m)) for a positive f of p that is given as a function only.

    Where p has lost digits of 1 - p, they are restored by the slope of log f in log(1 - p). Beyond
    the margin `_LARGEST_MEASURED`, or where p still has two digits of 1 - p if f is irregular, f is
    continued as `_End`: a power of p or 1 - p times a smooth function.
    """
    dtype = as_float(margin).dtype
    margin = jnp.asarray(margin, at_least_float32(dtype))
    at_zero, at_one = _at_zero(function, margin.dtype), _at_one(function, margin.dtype)
    near = jnp.clip(margin, -at_zero.start, at_one.start)
    (log_p, log_q), (near_p, near_q) = log_p_and_q(margin), log_p_and_q(near)
    beyond = jnp.where(margin > 0, at_one.rise(log_q - near_q), at_zero.rise(log_p - near_p))
    return (_log_near(function, near) + beyond).astype(dtype)


class _End(NamedTuple):
    """f near p = 0 or p = 1, as x**exponent * exp(bend * x / x_start) with x = p or 1 - p."""

    start: Array  # the margin, without its sign, beyond which this holds
    exponent: Array
    bend: Array

    def rise(self, log_x: Array) -> Array:
        """log f above its value at the start, for log x above its own."""
        return self.exponent * log_x + self.bend * jnp.expm1(log_x)


def _at_zero(function: Function, dtype: jnp.dtype) -> _End:
    """At p = 0 f is regular if f and its slope are floats at the largest margin, and f positive."""
    far = jnp.asarray(math.exp(-_LARGEST_MEASURED), dtype)
    good = _log_and_exponent(function, far, 1)[2]
    x = jnp.where(good, far, _two_digits(dtype))
    return _end(function, x, 1)


def _at_one(function: Function, dtype: jnp.dtype) -> _End:
    """At p = 1 f is regular if it is of order 0 or 1 in 1 - p."""
    value, slope = _value_and_slope(function, jnp.ones((), dtype))
    finite = jnp.isfinite(value) & jnp.isfinite(slope)
    end = _end(function, _two_digits(dtype), -1)
    # A value below zero is a rounded zero, such as that of cos(pi / 2 * p); such an f is too
    # inaccurate to follow further.
    rounded = (value < 0) & (jnp.abs(end.exponent - 1) < 0.1)
    order_one = finite & ((value == 0) | rounded) & (slope < 0)
    regular = finite & (value > 0) | order_one & (value == 0)
    return _End(
        jnp.where(regular, _LARGEST_MEASURED, end.start).astype(dtype),
        jnp.where(regular | order_one, order_one.astype(dtype), end.exponent).astype(dtype),
        jnp.where(regular | order_one, 0, end.bend).astype(dtype),
    )


def _two_digits(dtype: jnp.dtype) -> Array:
    """A power of two x for which 1 - x, which is exact, has two digits of x."""
    return jnp.asarray(2.0 ** math.ceil(math.log2(100 * jnp.finfo(dtype).epsneg)), dtype)


def _end(function: Function, x: Array, sign: int) -> _End:
    """The end of f from p = x (`sign` = 1) or 1 - x (-1) on, by two points (Richardson)."""
    log_f, exponent, good = _log_and_exponent(function, x, sign)
    log_f_2, exponent_2, good_2 = _log_and_exponent(function, 2 * x, sign)
    _, exponent_64, good_64 = _log_and_exponent(function, 64 * x, sign)
    limit = 2 * exponent - exponent_2
    falls = jnp.abs(exponent_64) > (1 + _FALL) * jnp.abs(exponent)
    slow = (jnp.abs(limit) < _MIN_POWER) | falls & (jnp.abs(exponent) < _SLOW)
    is_power = good & good_2 & good_64 & ~slow
    bend = log_f_2 - log_f - limit * math.log(2)
    start = jnp.log1p(-x) - jnp.log(x)
    return _End(start, jnp.where(is_power, limit, 0), jnp.where(is_power, bend, 0))


def _log_and_exponent(function: Function, x: Array, sign: int) -> tuple[Array, Array, Array]:
    """log f, d log f / d log x, and whether they are finite; elsewhere they are 0."""
    value, slope = _value_and_slope(function, x if sign > 0 else 1 - x)
    good = (value > 0) & jnp.isfinite(value) & jnp.isfinite(slope)
    value, slope = jnp.where(good, value, 1), jnp.where(good, slope, 0)
    return jnp.log(value), sign * x * _ratio(slope, value), good


@jax.custom_jvp
def _ratio(a: Array, b: Array) -> Array:
    """a / b; the derivative of `/` divides by b**2, which underflows where b is small."""
    return a / b


@_ratio.defjvp
def _ratio_jvp(primals: tuple, tangents: tuple) -> tuple[Array, Array]:
    (a, b), (da, db) = primals, tangents
    ratio = _ratio(a, b)
    return ratio, _ratio(da - ratio * db, b)


def _log_near(function: Function, margin: Array) -> Array:
    """log f at the margin, with the digits of 1 - p restored that p has lost."""
    p = sigmoid(margin)
    value, slope = _value_and_slope(function, p)
    # A weight that clips to 0 has a kink at p = 1, where JAX halves the slope.
    beside = _slope(function, jnp.minimum(p, 1 - jnp.finfo(p.dtype).epsneg))
    slope = jnp.where(jnp.abs(beside) > jnp.abs(slope), beside, slope)
    slope = jnp.where(jnp.isfinite(slope), slope, 0.0)
    kept = 1 - p  # exact for p >= 1/2
    lost = jnp.where(margin > 0, kept - sigmoid(-margin), 0.0)
    has_power = (margin > 0) & (kept > 0) & (value > 0)  # else nothing is lost, or all of 1 - p
    power = -kept * _ratio(slope, jnp.where(has_power, value, 1.0))
    of_power = power * jnp.log1p(-lost / jnp.where(has_power, kept, 1.0))
    linear = jnp.where(has_power, value, value + slope * lost)
    nothing = linear <= 0  # not for NaN, which the result should show
    log_f = jnp.where(nothing, -jnp.inf, jnp.log(jnp.where(nothing, 1.0, linear)))
    return log_f + jnp.where(has_power, of_power, 0.0)


def _value_and_slope(function: Function, p: Array) -> tuple[Array, Array]:
    return _value(function, p), _slope(function, p)


def _value(function: Function, p: Array) -> Array:
    value = jnp.asarray(function(p), p.dtype)
    return jnp.broadcast_to(value, jnp.broadcast_shapes(value.shape, p.shape))


def _slope(function: Function, p: Array) -> Array:
    """f'(p), a constant when differentiated by p: it only corrects f, and f'' may be NaN."""
    constant = lax.stop_gradient(p)
    return jax.jvp(functools.partial(_value, function), (constant,), (jnp.ones_like(p),))[1]
