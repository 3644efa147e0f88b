"""The paper's emphasis density functions: DM (Eq. 12) and its variants (Eqs. 9 to 11)."""

import math

import jax.numpy as jnp
from jax import Array, lax
from jax.nn import sigmoid
from jax.scipy.special import betaln, erf
from jax.typing import ArrayLike

from dm_jax.emphasis.edf import EDF, parameter
from dm_jax.emphasis.probability import as_float, log_p_and_q, power


class DM(EDF):
    """Derivative Manipulation: w(p) = exp(beta * p**lam * (1 - p)) (Eq. 12).

    Args:
      lam: sets the emphasis mode, lam / (lam + 1); at least 0.
      beta: concentration of the emphasis; 0 weights all examples equally.
    """

    lam: float | Array = parameter(minimum=0)
    beta: float | Array

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return jnp.exp(self.beta * power(p, self.lam) * (1 - p))

    def log_shape(self, margin: ArrayLike) -> Array:
        log_p, log_q = log_p_and_q(as_float(margin))
        log_peak = self._log_peak
        return self.beta * jnp.exp(log_peak) * jnp.expm1(self.lam * log_p + log_q - log_peak)

    @property
    def log_scale(self) -> Array:
        return self.beta * jnp.exp(self._log_peak)

    @property
    def _log_peak(self) -> Array:
        """log of the maximum of p**lam * (1 - p). Not differentiated: it cancels out of w."""
        lam = jnp.asarray(self.lam, float)
        lam_log_lam = lam * jnp.log(jnp.where(lam > 0, lam, 1.0))  # xlogy makes a NaN at 0
        return lax.stop_gradient(lam_log_lam - (lam + 1) * jnp.log(lam + 1))

    @property
    def mode(self) -> Array:
        return jnp.where(jnp.asarray(self.beta) < 0, 1.0, self.lam / (self.lam + 1.0))


class Normal(EDF):
    """The normal variant: w(p) = exp(-beta * p * (p - 2 * psi)) (Eq. 9).

    Args:
      psi: the emphasis mode, in [0, 1].
      beta: concentration of the emphasis, at least 0.
    """

    psi: float | Array = parameter(minimum=0, maximum=1)
    beta: float | Array = parameter(minimum=0)

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return jnp.exp(-self.beta * p * (p - 2 * self.psi))

    def log_shape(self, margin: ArrayLike) -> Array:
        return -self.beta * (sigmoid(as_float(margin)) - self.psi) ** 2

    @property
    def log_scale(self) -> Array:
        return jnp.asarray(self.beta * self.psi**2, float)

    def log_area(self) -> Array:
        """log of sqrt(pi / beta) / 2 * (erf(sqrt(beta) * (1 - psi)) + erf(sqrt(beta) * psi))."""
        beta, psi = jnp.asarray(self.beta, float), jnp.asarray(self.psi, float)
        near_zero = beta < 1e-2
        small, root = jnp.where(near_zero, beta, 0.0), jnp.sqrt(jnp.where(near_zero, 1.0, beta))
        series = sum(
            (-small) ** k / math.factorial(k) * ((1 - psi) ** n + psi**n) / n
            for k, n in enumerate((1, 3, 5, 7))
        )
        area = jnp.sqrt(jnp.pi) / 2 * (erf(root * (1 - psi)) + erf(root * psi)) / root
        return jnp.log(jnp.where(near_zero, series, area))

    @property
    def mode(self) -> Array:
        return jnp.asarray(self.psi, float)


class Exponential(EDF):
    """The exponential variant: w(p) = exp(beta * (1 - p)) (Eq. 10); mode 0, or 1 if beta < 0."""

    beta: float | Array

    def weight(self, p: ArrayLike) -> Array:
        return jnp.exp(self.beta * (1 - as_float(p)))

    def log_shape(self, margin: ArrayLike) -> Array:
        return -self.beta * sigmoid(as_float(margin))

    @property
    def log_scale(self) -> Array:
        return jnp.asarray(self.beta, float)

    def log_area(self) -> Array:
        """log of (1 - exp(-beta)) / beta, also at beta = 0 and without overflow."""
        beta = jnp.asarray(self.beta, float)
        negative = beta < 0
        size = jnp.where(negative, -beta, beta)  # not abs, for its derivative at 0
        near_zero = size < 1e-2
        safe = jnp.where(near_zero, 1.0, size)
        series = -size / 2 + size**2 / 24
        log_area = jnp.where(near_zero, series, jnp.log(-jnp.expm1(-safe) / safe))
        return log_area + jnp.where(negative, -beta, 0.0)

    @property
    def mode(self) -> Array:
        return jnp.where(jnp.asarray(self.beta) < 0, 1.0, 0.0)


class Beta(EDF):
    """The beta variant: w(p) = p**(alpha - 1) * (1 - p)**(eta - 1) (Eq. 11), alpha and eta >= 0.

    Up to a constant it includes CCE (1, 2), MAE (2, 2), MSE (2, 3) and GCE (q + 1, 2). Its integral
    is finite for alpha and eta above 0 only; otherwise the density is 0.
    """

    alpha: float | Array = parameter(minimum=0)
    eta: float | Array = parameter(minimum=0)

    def weight(self, p: ArrayLike) -> Array:
        p = as_float(p)
        return power(p, self.alpha - 1) * power(1 - p, self.eta - 1)

    def log_weight(self, margin: ArrayLike) -> Array:
        log_p, log_q = log_p_and_q(as_float(margin))
        return (self.alpha - 1) * log_p + (self.eta - 1) * log_q

    def log_area(self) -> Array:
        """log of the beta function B(alpha, eta); infinite where the integral is."""
        alpha, eta = jnp.asarray(self.alpha, float), jnp.asarray(self.eta, float)
        finite = (alpha > 0) & (eta > 0)
        return jnp.where(
            finite, betaln(jnp.where(finite, alpha, 1), jnp.where(finite, eta, 1)), jnp.inf
        )

    @property
    def mode(self) -> Array:
        """(alpha - 1) / (alpha + eta - 2) if the maximum is interior, else the higher end."""
        a, b = jnp.asarray(self.alpha, float) - 1, jnp.asarray(self.eta, float) - 1
        inside = (a > 0) & (b > 0)
        return jnp.where(inside, a / jnp.where(inside, a + b, 1.0), jnp.where(b < a, 1.0, 0.0))
