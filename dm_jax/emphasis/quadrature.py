"""Integrals and maxima of functions of the soft margin, over the whole real line.

The substitution `m = sinh(t)` handles both extremes: an emphasis that is singular in p
(`p**-0.9`) decays exponentially in m, so a fixed range of t covers it, while a sharp peak
(`beta = 200`) still spans many nodes. One composite Gauss-Legendre rule on t then serves every
scheme whose peaks are no narrower than about 0.005 in p.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

# asinh of the largest margin considered: sinh(9.9) is about 1e4.
_RANGE = 9.9
_PANELS = 128
_POINTS = 16


def _composite_rule(panels: int, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Gauss-Legendre nodes and weights on [0, 1], in equal panels."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    starts = np.arange(panels)[:, None]
    return ((starts + (nodes + 1) / 2) / panels).ravel(), np.tile(weights / 2 / panels, panels)


_NODES, _WEIGHTS = _composite_rule(_PANELS, _POINTS)


def log_integral(log_function: Callable[[Array], Array]) -> Array:
    """log of the integral of `exp(log_function(m))` over all margins m, without overflow.

    The result has the shape of `log_function` of a scalar.
    """
    dtype = jnp.result_type(float)
    t = jnp.asarray(_RANGE * (2 * _NODES - 1), dtype)
    log_weights = jnp.asarray(np.log(2 * _RANGE * _WEIGHTS), dtype)
    values = jax.vmap(log_function)(jnp.sinh(t))
    log_weights = log_weights + jnp.log(jnp.cosh(t))
    log_weights = log_weights.reshape(-1, *(1,) * (values.ndim - 1))
    return jax.nn.logsumexp(values + log_weights, axis=0)


def integral_from_zero(function: Callable[[Array], Array], margin: Array) -> Array:
    """Integral of `function` from 0 to each margin (any sign, any shape)."""
    t_end = jnp.arcsinh(margin)
    nodes, weights = jnp.asarray(_NODES, margin.dtype), jnp.asarray(_WEIGHTS, margin.dtype)

    def summand(node: Array, weight: Array) -> Array:
        t = node * t_end
        return function(jnp.sinh(t)) * jnp.cosh(t) * weight

    return jnp.sum(jax.vmap(summand)(nodes, weights), axis=0) * t_end


def argmax(function: Callable[[Array], Array]) -> Array:
    """The margin that maximises `function`: a grid, then bisection on the sign of its slope.

    Differentiable with respect to what `function` depends on, if it is smooth there; else the
    derivative is 0.
    The result has the shape of `function` of a scalar.
    """
    grid = jnp.sinh(jnp.linspace(-_RANGE, _RANGE, 1025))
    best = jnp.argmax(jax.vmap(function)(grid), axis=0)
    low, high = grid[jnp.maximum(best - 1, 0)], grid[jnp.minimum(best + 1, grid.size - 1)]

    def slope(margin: Array) -> Array:
        return jax.jvp(function, (margin,), (jnp.ones_like(margin),))[1]

    def halve(_: int, bracket: tuple[Array, Array]) -> tuple[Array, Array]:
        low, high = bracket
        middle = (low + high) / 2
        rising = slope(middle) > 0
        return jnp.where(rising, middle, low), jnp.where(rising, high, middle)

    steepest = jnp.maximum(jnp.abs(slope(low)), jnp.abs(slope(high)))
    low, high = lax.fori_loop(0, 50, halve, (low, high))
    found = (low + high) / 2
    # A jump within the bracket misleads the slope.
    at_jump = function(found) < function(grid[best]) - 1e-3
    found = jnp.where(at_jump, grid[best], found)
    # At a kink the slope does not fall to 0, as it does at a smooth maximum.
    smooth = jnp.abs(slope(found)) < 0.01 * steepest
    return _with_derivative(lax.stop_gradient(found), slope, lax.stop_gradient(smooth))


def _with_derivative(root: Array, function: Callable[[Array], Array], smooth: Array) -> Array:
    """The root, with its derivative with respect to the parameters (implicit functions)."""
    at = jnp.where(smooth, root, 0)  # elsewhere the derivatives may overflow
    value, slope = jax.jvp(function, (at,), (jnp.ones_like(at),))
    slope = lax.stop_gradient(slope)
    usable = smooth & (slope != 0)
    step = jnp.where(usable, value, 0) / jnp.where(usable, slope, 1)
    return root - (step - lax.stop_gradient(step))
