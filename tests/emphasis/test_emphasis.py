"""EDFs: named limits, written formulas, quadrature, user schemes, pytrees, creation by name."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import integrate
from scipy.special import erf

from dm_jax import (
    CCE,
    DM,
    EDF,
    GCE,
    MAE,
    MSE,
    Beta,
    Exponential,
    Normal,
    from_loss,
    from_pdf,
    from_weight,
)
from tests import written_formula

P = np.linspace(0.01, 0.99, 99, dtype=np.float32)
MARGINS = np.log(P / (1 - P))
BUILT_IN = [
    DM(lam=0.5, beta=8.0),
    DM(lam=2.0, beta=200.0),
    DM(lam=0.0, beta=200.0),
    DM(lam=0.0, beta=-3.0),
    Normal(psi=0.3, beta=200.0),
    Exponential(beta=200.0),
    Exponential(beta=-200.0),
    Exponential(beta=1e-4),
    Beta(alpha=0.1, eta=0.2),
    Beta(alpha=3.0, eta=1.5),
    CCE(),
    MAE(),
    MSE(),
    GCE(q=0.7),
    GCE(q=0.0),
]


class Ramp(EDF):
    """A user's scheme: a parameter and a weight."""

    power: float

    def weight(self, p):
        return (1 - p) ** self.power


def parameters(edf):
    return {field.name: getattr(edf, field.name) for field in dataclasses.fields(edf)}


def written_log_weight(edf, margin):
    log_p_and_q = written_formula.log_p_and_q(np.asarray(margin, np.float64))
    return written_formula.LOG_WEIGHTS[type(edf).__name__](*log_p_and_q, **parameters(edf))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (DM(lam=0.0, beta=5.0), Exponential(beta=5.0)),
        (DM(lam=1.0, beta=8.0), Normal(psi=0.5, beta=8.0)),
        (Beta(alpha=1.0, eta=2.0), CCE()),
        (Beta(alpha=2.0, eta=2.0), MAE()),
        (Beta(alpha=2.0, eta=3.0), MSE()),
        (Beta(alpha=1.7, eta=2.0), GCE(q=0.7)),
        (GCE(q=0.0), CCE()),
        (GCE(q=1.0), MAE()),
        (from_loss(lambda p: -jnp.log(p)), CCE()),
        (from_loss(lambda p: 1 - p), MAE()),
        (from_loss(lambda p: (1 - p) ** 2), MSE()),
        (from_pdf(lambda p: jax.scipy.stats.beta.pdf(p, 2.0, 2.0)), MAE()),
        (from_weight(lambda p: 4 * p * (1 - p) ** 2), MSE()),
        (DM(lam=0.7, beta=0.0), from_weight(lambda p: 1.0)),
    ],
    ids=repr,
)
def test_named_limits(one, other):
    np.testing.assert_allclose(jax.jit(one.density)(P), jax.jit(other.density)(P), rtol=1e-5)
    np.testing.assert_allclose(
        one.weight(P) / one.weight(P)[9],
        other.weight(P) / np.broadcast_to(other.weight(P), P.shape)[9],
        rtol=1e-5,
    )


@pytest.mark.parametrize("edf", BUILT_IN, ids=repr)
def test_log_weight_is_exact_at_every_margin(edf):
    margin = np.concatenate([np.linspace(-1e4, 1e4, 101), np.linspace(-30, 30, 121)])
    margin = margin.astype(np.float32)
    expected = written_log_weight(edf, margin)
    np.testing.assert_allclose(edf.log_weight(margin), expected, rtol=3e-7, atol=4e-5)
    with np.errstate(over="ignore"):
        weight = np.exp(written_log_weight(edf, np.log(P) - np.log1p(-P.astype(np.float64))))
    seen = (weight < 1e38) & (weight > 1e-37)
    np.testing.assert_allclose(np.asarray(edf.weight(P))[seen], weight[seen], rtol=5e-5)


@pytest.mark.parametrize("edf", BUILT_IN, ids=repr)
def test_density_is_the_weight_over_its_integral(edf):
    margin = np.log(P) - np.log1p(-P.astype(np.float64))
    with jax.enable_x64(True):
        area = np.exp(np.float64(edf.log_area()) + np.float64(edf.log_scale))
    if np.isfinite(written_formula.area(edf, parameters(edf))):
        np.testing.assert_allclose(area, written_formula.area(edf, parameters(edf)), rtol=1e-6)
    expected = np.exp(written_log_weight(edf, margin) - np.log(area))
    np.testing.assert_allclose(edf.density(P), expected, rtol=5e-5, atol=1e-6)


@pytest.mark.parametrize("edf", [*BUILT_IN, Ramp(power=2.0), Ramp(power=0.0)], ids=repr)
def test_density_integrates_to_one(edf):
    def integrand(t):
        """Over p, by m = sinh(t): an end may be singular."""
        m = np.sinh(t)
        log_p_and_q = sum(written_formula.log_p_and_q(m))
        with jax.enable_x64(True):
            log_density = np.asarray(edf.log_shape(m)) - np.asarray(edf.log_area())
        return np.exp(log_density + log_p_and_q) * np.cosh(t)

    t = np.linspace(-8, 8, 4001)
    assert integrate.simpson(integrand(t), x=t) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(
    ("edf", "area"),
    [
        (from_weight(lambda p: jnp.exp(-(((p - 0.5) / 0.005) ** 2))), 0.005 * np.sqrt(np.pi)),
        (from_weight(lambda p: jnp.exp(200 * (1 - p))), np.expm1(200.0) / 200),
        (from_weight(lambda p: p**-0.9), 10.0),
    ],
    ids=["narrow", "exp(200q)", "singular"],
)
def test_quadrature_is_accurate(edf, area):
    with jax.enable_x64(True):
        got = np.exp(np.float64(edf.log_area()) + np.float64(edf.log_scale))
    assert got == pytest.approx(area, rel=1e-6)


@pytest.mark.parametrize("psi", [0.0, 0.3, 1.0])
def test_the_area_of_the_normal_variant(psi):
    """At beta = 0, on both sides of where the series ends, and for peaks that no rule resolves."""
    with jax.enable_x64(True):
        for beta in (0.0, 0.0099, 0.0101, 0.5, 8.0, 200.0, 1e10):
            peak = [psi] if 0 < psi < 1 else None
            expected = (
                integrate.quad(lambda p, b=beta: np.exp(-b * (p - psi) ** 2), 0, 1, points=peak)[0]
                if beta < 1e6
                else np.sqrt(np.pi / beta) * (1 if 0 < psi < 1 else 0.5)
            )
            got = np.exp(Normal(psi=psi, beta=beta).log_area())
            assert got == pytest.approx(expected, rel=1e-8)
        slope = jax.grad(lambda beta: Normal(psi=psi, beta=beta).log_area())(0.0)
        assert float(slope) == pytest.approx(-((1 - psi) ** 3 + psi**3) / 3)


def test_quadrature_in_float32():
    """A sharp peak and a singular end keep six digits in float32 too."""
    for edf, area in [
        (DM(lam=1.0, beta=200.0), np.sqrt(np.pi / 200) * erf(np.sqrt(200) / 2)),
        (from_weight(lambda p: p**-0.9), 10.0),
    ]:
        assert float(jnp.exp(edf.log_area())) == pytest.approx(area, rel=2e-6)


@pytest.mark.parametrize("edf", [*BUILT_IN, Ramp(power=2.0)], ids=repr)
def test_mode_is_the_argmax(edf):
    if edf == Beta(alpha=0.1, eta=0.2):
        assert float(edf.mode) == 0  # singular at both ends, more so at 0
        return
    p = np.linspace(1e-6, 1 - 1e-6, 20_001)
    best = p[np.argmax(edf.log_shape(np.float32(np.log(p) - np.log1p(-p))))]
    mode, general = jax.jit(lambda: (edf.mode, super(type(edf), edf).mode))()
    assert float(mode) == pytest.approx(best, abs=5e-3)
    assert float(general) == pytest.approx(float(mode), abs=1e-3)


@pytest.mark.parametrize(
    "edf", [DM(lam=0.5, beta=8.0), CCE(), MAE(), MSE(), GCE(q=0.7), Ramp(power=2.0)], ids=repr
)
def test_potential_has_minus_half_the_weight_as_derivative(edf):
    margin = jnp.linspace(-12, 12, 25)
    slope = jax.jit(jax.vmap(jax.grad(edf.potential)))(margin)
    np.testing.assert_allclose(slope, -0.5 * np.exp(edf.log_weight(margin)), rtol=2e-4, atol=1e-6)
    assert float(edf.potential(0.0)) == pytest.approx(0, abs=1e-7)


@pytest.mark.parametrize("edf", [CCE(), MAE(), MSE()], ids=repr)
def test_closed_potentials_are_those_of_the_integral(edf):
    margin = jnp.linspace(-12, 12, 25)
    general = jax.jit(super(type(edf), edf).potential)(margin)
    np.testing.assert_allclose(general, jax.jit(edf.potential)(margin), rtol=1e-4, atol=2e-6)


@pytest.mark.parametrize(
    ("edf", "slope"),
    [
        (DM(lam=0.0, beta=2.0), -2 * np.exp(2)),
        (GCE(q=0.0), -2.0),
        (Beta(alpha=1.0, eta=2.0), -1.0),
    ],
)
def test_slope_at_zero_where_the_power_is_zero(edf, slope):
    assert float(jax.grad(edf.weight)(0.0)) == pytest.approx(slope, rel=1e-6)


def test_potential_reaches_far():
    """DM's weight tends to one on both sides, so its potential is a line there."""
    edf = DM(lam=1.0, beta=4.0)
    far = np.array(edf.potential(jnp.array([-1e4, -5e3, 5e3, 1e4])))
    np.testing.assert_allclose(np.diff(far)[[0, 2]], -2500, rtol=1e-5)


def test_any_leaf_goes_through_a_tree():
    """Gradients, shapes and placeholders are not checked against the range of the parameter."""
    edf = DM(lam=0.5, beta=8.0)
    assert jax.tree.map(lambda leaf: -leaf, edf).lam == -0.5
    placeholder = object()
    assert jax.tree.map(lambda leaf: placeholder, edf).lam is placeholder
    assert jax.eval_shape(lambda e: e, edf).beta.shape == ()
    assert jax.jit(lambda lam: DM(lam=lam, beta=1.0).mode)(1.0) == 0.5


@pytest.mark.parametrize(
    ("weight", "highest"),
    [
        (lambda p: jnp.where(p > 0.1, 1.0, 0.0), 1.0),
        (lambda p: jnp.where(p > 0.1, 1 - p, 0.0), 0.9),
        (lambda p: jnp.where(p < 0.5, p, 0.1), 0.5),
    ],
)
def test_the_mode_of_a_weight_with_a_jump_is_on_its_high_side(weight, highest):
    edf = from_weight(weight)
    assert float(edf.weight(edf.mode)) == pytest.approx(highest, rel=0.02)


def test_density_and_mode_follow_the_parameters():
    """Differentiable by the parameters, the quadrature included."""
    with jax.enable_x64(True):
        got = jax.jit(jax.grad(lambda lam: DM(lam=lam, beta=8.0).density(0.4)))(0.5)
        expected = (
            DM(lam=0.5001, beta=8.0).density(0.4) - DM(lam=0.4999, beta=8.0).density(0.4)
        ) / 2e-4
        assert float(got) == pytest.approx(float(expected), rel=1e-4)


@pytest.mark.parametrize("edf", [DM(lam=0.5, beta=8.0), CCE(), MAE(), MSE(), GCE(q=0.7)], ids=repr)
def test_the_slope_of_the_density_at_one_half(edf):
    """At a margin of exactly 0, where pieces of log p and log(1 - p) meet."""
    with jax.enable_x64(True):
        got = jax.jit(jax.grad(edf.density))(0.5)
        expected = (edf.density(0.5 + 1e-6) - edf.density(0.5 - 1e-6)) / 2e-6
        assert float(got) == pytest.approx(float(expected), abs=1e-8, rel=1e-6)


@pytest.mark.parametrize("beta", [0.0099, 0.0101, 0.5, 8.0])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_area_of_the_exponential_variant(beta, sign):
    """On both sides of where the series ends."""
    with jax.enable_x64(True):
        edf = Exponential(beta=sign * beta)
        got = np.exp(edf.log_area() + edf.log_scale)
    assert float(got) == pytest.approx(np.expm1(sign * beta) / (sign * beta), rel=1e-8)


def test_a_density_is_taken_as_it_is():
    assert float(from_pdf(lambda p: 3 * p).density(0.5)) == pytest.approx(1.5)


def test_the_area_of_the_exponential_variant_is_smooth_where_all_weights_are_equal():
    with jax.enable_x64(True):
        slope = jax.grad(lambda beta: Exponential(beta).log_area())
        assert float(slope(0.0)) == pytest.approx(-0.5)
        assert float(jax.grad(slope)(0.0)) == pytest.approx(1 / 12)


@pytest.mark.parametrize(
    ("weight", "truth"),
    [
        (lambda p: jnp.cos(jnp.pi / 2 * p), lambda q: np.sin(np.pi / 2 * q)),
        (lambda p: jnp.sin(jnp.pi * p), lambda q: np.sin(np.pi * q)),
    ],
    ids=["cos", "sin"],
)
def test_a_weight_that_rounds_below_zero_at_one(weight, truth):
    """In float32 both are -4e-8 or so at p = 1, where they should be 0."""
    margin = np.array([8.0, 12.0, 14.0, 18.0, 30.0, 60.0])
    q = 1 / (1 + np.exp(margin))
    found = from_weight(weight).log_weight(margin.astype(np.float32))
    np.testing.assert_allclose(found, np.log(truth(q)), atol=0.02)


class BetaByMargin(EDF):
    """A scheme that multiplies the margin."""

    alpha: float
    eta: float

    def log_weight(self, margin):
        log_q = -jax.nn.softplus(margin)
        return (self.alpha - 1) * margin + (self.alpha + self.eta - 2) * log_q


def test_a_scheme_by_its_log_weight_at_the_ends():
    density = BetaByMargin(alpha=3.0, eta=2.0).density(jnp.array([0.0, 0.5, 1.0]))
    np.testing.assert_allclose(density, [0.0, 1.5, 0.0], atol=1e-6)


class Peak(EDF):
    """A scheme with a smooth peak, by a loop that has no reverse mode."""

    centre: float

    def weight(self, p):
        squared = (p - self.centre) ** 2
        return jnp.exp(-jax.lax.while_loop(lambda x: x.max() < 4, lambda x: x * 2, squared + 1))


@pytest.mark.long
def test_the_mode_is_differentiable_and_needs_no_reverse_mode():
    class Bump(EDF):
        centre: float

        def weight(self, p):
            return jnp.exp(-50 * (p - self.centre) ** 2)

    class Tent(EDF):
        knee: float

        def weight(self, p):
            return jnp.minimum(p / self.knee, (1 - p) / (1 - self.knee))

    assert float(jax.grad(lambda centre: Bump(centre).mode)(0.3)) == pytest.approx(1.0, abs=1e-3)
    assert float(jax.grad(lambda knee: Tent(knee).mode)(0.3)) == 0
    assert float(Peak(0.3).mode) == pytest.approx(0.3, abs=1e-3)


@pytest.mark.parametrize(
    "edf",
    [
        DM(lam=0.0, beta=3.0),
        from_weight(lambda p: jnp.where(p > 0.5, 1.0, 0.0)),
        from_loss(lambda p: -jnp.log(p)),
    ],
    ids=["DM", "threshold", "loss"],
)
def test_nothing_is_a_nan_on_the_way(edf):
    """JAX's tools that look for NaN find none."""
    with jax.debug_nans(True):
        for p in (0.0, 0.3, 0.7, 1.0):
            assert np.isfinite(edf.density(p))
        assert np.isfinite(edf.mode)


def test_repr_of_arrays_and_functions():
    assert repr(DM(lam=jnp.float32(0.5), beta=jnp.arange(3.0))) == "DM(lam=0.5, beta=float32[3])"
    assert repr(from_weight(jnp.cos)) == "FromWeight(function=cos)"


@pytest.mark.parametrize(
    "value", ["0.5", None, True, [0.5, 1.0], (0.5,), (), (CCE(), 0.5), 1j, np.array(["0.5"])]
)
def test_a_parameter_is_a_number(value):
    with pytest.raises(TypeError, match="lam must be a number"):
        DM(lam=value, beta=1.0)
