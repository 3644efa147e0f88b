"""Common losses as emphasis density functions (Eq. 6), with their constant factors."""

import math

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid, softplus
from jax.typing import ArrayLike

from dm_jax.emphasis.edf import EDF, parameter
from dm_jax.emphasis.probability import as_float, log_p_and_q, power


class GCE(EDF):
    """Generalised cross entropy, L = (1 - p**q) / q: w(p) = 2 * p**q * (1 - p) (Eq. 6)."""

    q: float | Array = parameter(minimum=0, maximum=1)

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return 2 * power(p, self.q) * (1 - p)

    def log_shape(self, margin: ArrayLike) -> Array:
        log_p, log_q = log_p_and_q(as_float(margin))
        return self.q * log_p + log_q

    @property
    def log_scale(self) -> Array:
        return jnp.full((), math.log(2))

    def log_area(self) -> Array:
        q = jnp.asarray(self.q, float)
        return -jnp.log((q + 1) * (q + 2))

    @property
    def mode(self) -> Array:
        return jnp.asarray(self.q / (self.q + 1.0), float)


class CCE(EDF):
    """Categorical cross entropy: w(p) = 2 * (1 - p) (Eq. 6)."""

    def weight(self, p: ArrayLike) -> Array:
        return 2 * (1 - as_float(p))

    def log_shape(self, margin: ArrayLike) -> Array:
        return log_p_and_q(as_float(margin))[1]

    @property
    def log_scale(self) -> Array:
        return jnp.full((), math.log(2))

    def log_area(self) -> Array:
        return jnp.full((), -math.log(2))

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

    def log_shape(self, margin: ArrayLike) -> Array:
        log_p, log_q = log_p_and_q(as_float(margin))
        return log_p + log_q

    @property
    def log_scale(self) -> Array:
        return jnp.full((), math.log(2))

    def log_area(self) -> Array:
        return jnp.full((), -math.log(6))

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

    def log_shape(self, margin: ArrayLike) -> Array:
        log_p, log_q = log_p_and_q(as_float(margin))
        return log_p + 2 * log_q

    @property
    def log_scale(self) -> Array:
        return jnp.full((), math.log(4))

    def log_area(self) -> Array:
        return jnp.full((), -math.log(12))

    @property
    def mode(self) -> Array:
        return jnp.full((), 1 / 3)

    def potential(self, margin: ArrayLike) -> Array:
        return sigmoid(-as_float(margin)) ** 2 - 1 / 4
