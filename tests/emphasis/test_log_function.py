"""The log of a weight that is known as a function of p only: its tails and limits."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import nn
from jax.scipy import stats
from scipy import special

from dm_jax import (
    CCE,
    DM,
    EDF,
    GCE,
    from_loss,
    from_pdf,
    from_weight,
)
from tests import written_formula

FAR_MARGINS = np.array([-1e4, -50, -1, 0, 1, 10, 12, 14, 17, 30, 41, 100, 1e4], np.float32)


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_a_users_weight_keeps_its_tails(exponent):
    """1 - p is zero in float32 beyond a margin of 17; the scheme goes on as its power."""
    log_p, log_q = written_formula.log_p_and_q(FAR_MARGINS.astype(np.float64))
    found = from_weight(lambda p: (1 - p) ** exponent).log_weight(FAR_MARGINS)
    np.testing.assert_allclose(found, exponent * log_q, rtol=1e-5, atol=2e-5)
    found = from_weight(lambda p: p**exponent).log_weight(FAR_MARGINS)
    np.testing.assert_allclose(found, exponent * log_p, rtol=1e-5, atol=2e-5)


def test_a_weight_that_clips_to_zero_keeps_its_tail():
    """Where p rounds to one it has a kink, at which JAX halves the slope."""
    _, log_q = written_formula.log_p_and_q(FAR_MARGINS.astype(np.float64))
    found = from_weight(lambda p: jnp.clip(2 * (1 - p), 0, 1)).log_weight(FAR_MARGINS)
    np.testing.assert_allclose(found, np.minimum(np.log(2) + log_q, 0), rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("eps", [1e-6, 1e-7, 1e-8])
def test_a_weight_that_falls_to_zero_at_the_last_moment_keeps_its_tail(eps):
    _, log_q = written_formula.log_p_and_q(FAR_MARGINS.astype(np.float64))
    q = np.exp(log_q)
    found = from_weight(lambda p: (1 - p) / (1 - p + eps)).log_weight(FAR_MARGINS)
    far = FAR_MARGINS > 25
    np.testing.assert_allclose(found[far], (log_q - np.log(q + eps))[far], rtol=1e-5, atol=2e-3)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_users_loss_keeps_its_tails(order):
    log_p, log_q = written_formula.log_p_and_q(FAR_MARGINS.astype(np.float64))
    np.testing.assert_allclose(
        from_loss(lambda p: (1 - p) ** order).log_weight(FAR_MARGINS),
        np.log(2 * order) + log_p + order * log_q,
        rtol=1e-5,
        atol=1e-4,
    )


@pytest.mark.parametrize(("alpha", "eta"), [(2, 3), (3, 2), (0.5, 0.5), (4, 1.3), (0.7, 2.5)])
def test_a_power_times_a_smooth_function_keeps_its_tails(alpha, eta):
    log_p, log_q = written_formula.log_p_and_q(FAR_MARGINS.astype(np.float64))
    expected = (alpha - 1) * log_p + (eta - 1) * log_q - special.betaln(alpha, eta)
    found = from_pdf(lambda p: stats.beta.pdf(p, alpha, eta)).log_weight(FAR_MARGINS)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)
    weight = from_weight(lambda p: p ** (alpha - 1) * (1 - p) ** (eta - 1) * jnp.exp(5 * p))
    expected = (alpha - 1) * log_p + (eta - 1) * log_q + 5 * np.exp(log_p)
    np.testing.assert_allclose(weight.log_weight(FAR_MARGINS), expected, rtol=1e-5, atol=1e-5)


class Powers(EDF):
    """A scheme whose weight has no second derivative at an end."""

    alpha: float
    eta: float

    def weight(self, p):
        return p ** (self.alpha - 1) * (1 - p) ** (self.eta - 1)


@pytest.mark.parametrize(
    ("alpha", "eta"),
    [
        (2.0, 3.0),
        (0.5, 0.5),
        *(
            pytest.param(*ends, marks=pytest.mark.long)
            for ends in [(4.0, 1.3), (1.0, 2.0), (2.9, 4.9)]
        ),
    ],
)
def test_the_slope_of_a_weight_at_the_ends(alpha, eta):
    """As a gradient of the gradient needs it."""
    edf, margin = Powers(alpha, eta), jnp.array([-60.0, -20, -5, 0, 5, 12, 16, 20, 30, 60])
    slope = jax.jit(jax.vmap(jax.grad(edf.log_weight)))(margin)
    p = nn.sigmoid(margin)
    np.testing.assert_allclose(slope, (alpha - 1) * (1 - p) - (eta - 1) * p, rtol=2e-5, atol=2e-5)
    by_parameters = jax.jit(jax.vmap(jax.grad(lambda edf, m: edf.log_weight(m)), (None, 0)))
    by = by_parameters(edf, margin[1:7])
    log_p, log_q = written_formula.log_p_and_q(np.asarray(margin[1:7], np.float64))
    np.testing.assert_allclose(by.alpha, log_p, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(by.eta, log_q, rtol=1e-4, atol=1e-4)


class Peak(EDF):
    centre: float
    width: float

    def weight(self, p):
        return jnp.exp(-(((p - self.centre) / self.width) ** 2) / 2)


@pytest.mark.parametrize("edf", [Powers(2.2, 2.0), Powers(3.0, 5.0), Peak(0.5, 0.05)], ids=repr)
def test_parameters_have_a_derivative_where_weights_nearly_underflow(edf):
    """The ends are evaluated for every margin: a NaN there is one everywhere."""

    def total(edf):
        return edf.log_weight(jnp.array([-2.0, 0.0, 2.0])).sum() + edf.log_area()

    by_parameters = jax.jit(jax.grad(total))(edf)
    assert np.isfinite(jax.tree.leaves(by_parameters)).all()
    margins = jnp.linspace(-20, 20, 81)
    assert np.isfinite(jax.jit(jax.vmap(jax.grad(edf.log_weight)))(margins)).all()


@pytest.mark.parametrize("dtype", [jnp.float16, jnp.bfloat16])
def test_a_margin_may_be_of_half_precision(dtype):
    edf, margin = from_weight(lambda p: (1 - p) ** 2 * p), np.array([-2.0, 2, 6, 10])
    found = edf.log_weight(jnp.asarray(margin, dtype))
    assert found.dtype == dtype
    np.testing.assert_allclose(found.astype(float), edf.log_weight(margin), rtol=0.01)


@pytest.mark.parametrize("floor", [1e-4, 1e-2])
def test_a_power_that_begins_late_is_still_one(floor):
    """Its exponent changes from 1 to 2 where 1 - p is about the floor."""
    margin = np.array([12, 15, 20, 30])
    q = 1 / (1 + np.exp(margin))
    found = from_weight(lambda p: (1 - p) ** 2 / (1 - p + floor)).log_weight(margin)
    np.testing.assert_allclose(found, np.log(q**2 / (q + floor)), atol=0.2)


def test_a_power_times_a_logarithm_goes_on_by_its_slope():
    margin = np.array([10, 15, 18])
    q = 1 / (1 + np.exp(margin))
    entropy = from_weight(lambda p: -p * jnp.log(p) - (1 - p) * jnp.log1p(-p))
    expected = np.log(-(1 - q) * np.log1p(-q) - q * np.log(q))
    np.testing.assert_allclose(entropy.log_weight(margin), expected, atol=0.1)


def test_a_users_weight_keeps_its_limits():
    """What is no power at the ends is not continued as one, however far."""
    ours, theirs = DM(lam=0.5, beta=8.0), from_weight(lambda p: jnp.exp(8 * jnp.sqrt(p) * (1 - p)))
    got = jax.jit(theirs.log_weight)(FAR_MARGINS)
    np.testing.assert_allclose(got, ours.log_weight(FAR_MARGINS), atol=1e-3)
    ends = np.array([0.0, 1.0])
    for x64 in (False, True):
        with jax.enable_x64(x64):
            got = jax.jit(theirs.density)(ends)
            np.testing.assert_allclose(got, ours.density(ends), rtol=1e-3)
    slow = from_weight(lambda p: -jnp.log(p)).log_weight(np.array([-1e4, -1e3, -40], np.float32))
    np.testing.assert_allclose(slow, np.log(40), rtol=1e-5)
    slow = from_weight(lambda p: -jnp.log(1 - p)).log_weight(np.array([20, 1e3], np.float32))
    np.testing.assert_allclose(slow, np.log(12), rtol=1e-2)


def test_a_users_loss_has_a_weight_at_the_ends():
    ends = np.array([0.0, 1.0])
    np.testing.assert_allclose(from_loss(lambda p: -jnp.log(p)).weight(ends), CCE().weight(ends))
    gce = from_loss(lambda p: (1 - p**0.7) / 0.7)
    np.testing.assert_allclose(gce.weight(ends), GCE(q=0.7).weight(ends), atol=1e-6)
    slow = from_loss(lambda p: jnp.log(p) ** 2).log_weight(np.array([-1e3, -40], np.float32))
    np.testing.assert_allclose(slow, np.log(4 * 40), rtol=1e-5)


def test_a_weight_that_is_zero_near_one_stays_zero():
    found = from_weight(lambda p: jnp.maximum(0.7 - p, 0)).log_weight(FAR_MARGINS)
    assert np.isneginf(found[FAR_MARGINS >= 1]).all()
    assert np.isfinite(found[FAR_MARGINS < 0.5]).all()


def test_a_users_weight_with_a_pole_is_finite():
    margin = np.array([-1e4, -30, 0, 30, 1e4], np.float32)
    for weight in (lambda p: 1 / jnp.sqrt(1 - p), lambda p: -jnp.log(p), lambda p: jnp.sqrt(1 - p)):
        got = from_weight(weight).log_weight(margin)
        assert not np.isnan(got).any()
        assert (np.array(got) < np.inf).all()
