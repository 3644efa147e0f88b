"""EDFs: named limits, written formulas, quadrature, user schemes, pytrees, creation by name."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import nn
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
    emphasis,
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
    np.testing.assert_allclose(one.density(P), other.density(P), rtol=1e-5)
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
        area = np.float128(0) + np.exp(np.float64(edf.log_area()) + np.float64(edf.log_scale))
    if np.isfinite(written_formula.area(edf, parameters(edf))):
        np.testing.assert_allclose(area, written_formula.area(edf, parameters(edf)), rtol=1e-6)
    expected = np.exp(written_log_weight(edf, margin) - np.log(np.float64(area)))
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
        (
            Normal(psi=0.3, beta=200.0),
            np.exp(200 * 0.09)
            * np.sqrt(np.pi / 200)
            / 2
            * (erf(np.sqrt(200) * 0.7) + erf(np.sqrt(200) * 0.3)),
        ),
    ],
    ids=["narrow", "exp(200q)", "singular", "normal"],
)
def test_quadrature_is_accurate(edf, area):
    with jax.enable_x64(True):
        got = np.exp(np.float64(edf.log_area()) + np.float64(edf.log_scale))
    assert got == pytest.approx(area, rel=1e-6)


def test_quadrature_in_float32():
    """A sharp peak and a singular end keep six digits in float32 too."""
    for edf, area in [
        (DM(lam=1.0, beta=200.0), np.sqrt(np.pi / 200) * erf(np.sqrt(200) / 2)),
        (Normal(psi=0.5, beta=200.0), np.sqrt(np.pi / 200) * erf(np.sqrt(200) / 2)),
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
    assert float(edf.mode) == pytest.approx(best, abs=5e-3)
    assert float(super(type(edf), edf).mode) == pytest.approx(float(edf.mode), abs=1e-3)


@pytest.mark.parametrize(
    "edf", [DM(lam=0.5, beta=8.0), CCE(), MAE(), MSE(), GCE(q=0.7), Ramp(power=2.0)], ids=repr
)
def test_potential_has_minus_half_the_weight_as_derivative(edf):
    margin = jnp.linspace(-12, 12, 25)
    slope = jax.vmap(jax.grad(edf.potential))(margin)
    np.testing.assert_allclose(slope, -0.5 * np.exp(edf.log_weight(margin)), rtol=2e-4, atol=1e-6)
    assert float(edf.potential(0.0)) == pytest.approx(0, abs=1e-7)
    np.testing.assert_allclose(
        super(type(edf), edf).potential(margin), edf.potential(margin), rtol=1e-4, atol=2e-6
    )


def test_potential_reaches_far():
    """DM's weight tends to one on both sides, so its potential is a line there."""
    edf = DM(lam=1.0, beta=4.0)
    far = np.array(edf.potential(jnp.array([-1e4, -5e3, 5e3, 1e4])))
    np.testing.assert_allclose(np.diff(far)[[0, 2]], -2500, rtol=1e-5)


def test_a_users_scheme_is_a_frozen_pytree():
    edf = Ramp(power=2)
    assert repr(edf) == "Ramp(power=2.0)"
    assert jax.tree.leaves(edf) == [2.0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        edf.power = 3.0
    assert pickle.loads(pickle.dumps(edf)) == edf
    assert dataclasses.replace(edf, power=3.0) == Ramp(power=3.0)
    modes = jax.jit(jax.vmap(lambda e: e.mode))(Ramp(power=jnp.array([1.0, 2.0])))
    np.testing.assert_allclose(modes, 0, atol=1e-6)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(edf)]
    assert paths == [".power"]


class Branching(EDF):
    """Is no program for arrays."""

    knee: float

    def weight(self, p):
        return 1.0 if p > self.knee else p


class OfNumPy(Branching):
    """Neither is this."""

    def weight(self, p):
        return np.exp(-p)


class Falling(EDF):
    """Falls below zero."""

    slope: float

    def weight(self, p):
        return 1.0 - jnp.multiply.outer(p, jnp.asarray(self.slope))


class Low(EDF):
    """Has a parameter with an upper bound alone."""

    top: float = emphasis.parameter(maximum=1)

    def weight(self, p):
        return jnp.minimum(p, self.top)


FAR_MARGINS = np.array([-1e4, -50, -1, 0, 1, 10, 12, 14, 17, 30, 41, 100, 1e4], np.float32)


@pytest.mark.parametrize("exponent", [-1.0, -0.5, 0.5, 1.0, 1.5, 2.0, 3.0])
def test_a_users_weight_keeps_its_tails(exponent):
    """1 - p is zero in float32 beyond a margin of 17; the scheme goes on as its power."""
    log_p, log_q = written_formula.log_p_and_q(FAR_MARGINS.astype(np.float64))
    found = from_weight(lambda p: (1 - p) ** exponent).log_weight(FAR_MARGINS)
    np.testing.assert_allclose(found, exponent * log_q, rtol=1e-5, atol=2e-5)
    found = from_weight(lambda p: p**exponent).log_weight(FAR_MARGINS)
    np.testing.assert_allclose(found, exponent * log_p, rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_a_users_loss_keeps_its_tails(order):
    log_p, log_q = written_formula.log_p_and_q(FAR_MARGINS.astype(np.float64))
    np.testing.assert_allclose(
        from_loss(lambda p: (1 - p) ** order).log_weight(FAR_MARGINS),
        np.log(2 * order) + log_p + order * log_q,
        rtol=1e-5,
        atol=1e-4,
    )


def test_a_users_weight_keeps_its_limits():
    """What is no power at the ends is not continued as one, however far."""
    ours, theirs = DM(lam=0.5, beta=8.0), from_weight(lambda p: jnp.exp(8 * jnp.sqrt(p) * (1 - p)))
    np.testing.assert_allclose(
        theirs.log_weight(FAR_MARGINS), ours.log_weight(FAR_MARGINS), atol=1e-3
    )
    ends = np.array([0.0, 1.0])
    for x64 in (False, True):
        with jax.enable_x64(x64):
            np.testing.assert_allclose(theirs.density(ends), ours.density(ends), rtol=1e-3)
    slow = from_weight(lambda p: -jnp.log(p)).log_weight(np.array([-1e4, -1e3, -40], np.float32))
    np.testing.assert_allclose(slow, np.log(40), rtol=1e-5)


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


class Capped(DM):
    """A built-in scheme with another weight."""

    def weight(self, p):
        return jnp.minimum(super().weight(p), 5.0)


class Lifted(Beta):
    """A built-in scheme with another log weight."""

    def log_weight(self, margin):
        return jnp.logaddexp(super().log_weight(margin), 0.0)

    def weight(self, p):
        return super().weight(p) + 1.0


class Flat(DM):
    """A built-in scheme of which only the log weight is another one."""

    def log_weight(self, margin):
        return jnp.zeros_like(margin) + self.lam


class Straight(GCE):
    """A built-in scheme of which only the shape is another one."""

    def log_shape(self, margin):
        return jnp.log(2 - nn.sigmoid(margin))


@pytest.mark.parametrize(
    "edf",
    [
        Capped(lam=0.5, beta=8.0),
        Lifted(alpha=2.0, eta=3.0),
        Flat(lam=0.5, beta=8.0),
        Straight(q=0.7),
    ],
)
def test_a_subclass_of_a_built_in_scheme_is_its_own(edf):
    """What the parent knows of its weight, such as a closed form of its area, is not used."""
    weight = np.array(edf.weight(P))
    np.testing.assert_allclose(np.exp(edf.log_weight(MARGINS)), weight, rtol=1e-4)
    shape = np.exp(edf.log_shape(MARGINS) + edf.log_scale)
    np.testing.assert_allclose(shape, weight, rtol=1e-4)
    area = integrate.quad(lambda p: float(edf.weight(p)), 0, 1, limit=200)[0]
    np.testing.assert_allclose(edf.density(P), weight / area, rtol=1e-3)
    assert weight.max() <= float(edf.weight(edf.mode)) * (1 + 1e-4)


class Mixture(EDF):
    """A scheme made of two others."""

    first: EDF
    second: EDF
    share: float

    def weight(self, p):
        return self.share * self.first.weight(p) + (1 - self.share) * self.second.weight(p)


def test_schemes_are_made_of_schemes():
    edf = Mixture(DM(lam=0.5, beta=8.0), GCE(q=0.7), share=0.25)
    assert len(jax.tree.leaves(edf)) == 4
    weight = 0.25 * DM(lam=0.5, beta=8.0).weight(P) + 0.75 * GCE(q=0.7).weight(P)
    np.testing.assert_allclose(jax.jit(lambda e: e.weight(P))(edf), weight, rtol=1e-6)
    assert repr(edf) == "Mixture(first=DM(lam=0.5, beta=8.0), second=GCE(q=0.7), share=0.25)"


def test_a_parameter_cannot_hide_what_every_scheme_has():
    with pytest.raises(TypeError, match="Tent: a parameter cannot be called 'mode'"):

        class Tent(EDF):
            mode: float


def test_a_users_weight_with_a_pole_is_finite():
    margin = np.array([-1e4, -30, 0, 30, 1e4], np.float32)
    for weight in (lambda p: 1 / jnp.sqrt(1 - p), lambda p: -jnp.log(p), lambda p: jnp.sqrt(1 - p)):
        got = from_weight(weight).log_weight(margin)
        assert not np.isnan(got).any()
        assert (np.array(got) < np.inf).all()


def test_any_leaf_goes_through_a_tree():
    """Gradients, shapes and placeholders are not checked against the range of the parameter."""
    edf = DM(lam=0.5, beta=8.0)
    assert jax.tree.map(lambda leaf: -leaf, edf).lam == -0.5
    placeholder = object()
    assert jax.tree.map(lambda leaf: placeholder, edf).lam is placeholder
    assert jax.eval_shape(lambda e: e, edf).beta.shape == ()
    assert jax.jit(lambda lam: DM(lam=lam, beta=1.0).mode)(1.0) == 0.5


def test_density_and_mode_follow_the_parameters():
    """Differentiable by the parameters, the quadrature included."""
    with jax.enable_x64(True):
        got = jax.grad(lambda lam: DM(lam=lam, beta=8.0).density(0.4))(0.5)
        expected = (
            DM(lam=0.5001, beta=8.0).density(0.4) - DM(lam=0.4999, beta=8.0).density(0.4)
        ) / 2e-4
        assert float(got) == pytest.approx(float(expected), rel=1e-4)


def test_repr_of_arrays_and_functions():
    assert repr(DM(lam=jnp.float32(0.5), beta=jnp.arange(3.0))) == "DM(lam=0.5, beta=float32[3])"
    assert repr(from_weight(jnp.cos)) == "FromWeight(function=cos)"


def test_create_by_name():
    assert emphasis.create("DM", lam=0.5, beta=8) == DM(lam=0.5, beta=8.0)
    assert emphasis.create("tests.test_emphasis:Ramp", power=2).weight(0.5) == 0.25
    assert all(issubclass(type(e), EDF) for e in (emphasis.create("cce"), emphasis.create("mae")))
    assert set(emphasis.names()) >= {"dm", "normal", "exponential", "beta", "gce"}


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("DMM", {}, "did you mean 'dm'"),
        ("no_such_module:Ramp", {}, "cannot be imported: No module named 'no_such_module'"),
        ("dm", {"lam": 0.5, "betta": 1.0}, "did you mean 'beta'"),
        ("dm", {"lam": 0.5}, "beta"),
        ("dm", {"lam": -0.5, "beta": 1.0}, r"lam.*\[0, inf\].*-0.5"),
        ("dm", {"lam": 0.5, "beta": float("nan")}, "beta.*finite.*nan"),
        ("beta", {"alpha": -1.0, "eta": 1.0}, "alpha.*-1"),
        ("gce", {"q": 1.5}, r"q.*\[0, 1\].*1.5"),
        ("tests.test_emphasis:Low", {"top": 2.0}, r"top.*\[-inf, 1\].*2.0"),
        ("normal", {"psi": 0.5, "beta": np.array([1.0, -1.0])}, "beta"),
        ("tests.test_emphasis:P", {}, "subclass of dm_jax.EDF"),
        ("tests.test_emphasis:Branching", {"knee": 0.5}, "`if p > ...` and np.exp do; it must be"),
        ("tests.test_emphasis:OfNumPy", {"knee": 0.5}, "OfNumPy asks for a number in Python or"),
        ("tests.test_emphasis:Falling", {"slope": 2.0}, "at least 0, at p = 0.51 it is not"),
        ("tests.test_emphasis:Falling", {"slope": np.ones(3)}, r"elementwise, of \(99,\) it is"),
        ("tests.test_emphasis:Rampe", {"power": 1.0}, "did you mean 'Ramp'"),
    ],
)
def test_bad_creation_is_named(name, given, words):
    with pytest.raises(ValueError, match=words):
        emphasis.create(name, **given)


@pytest.mark.parametrize("value", ["0.5", None, True, [0.5, 1.0], (0.5,), 1j, np.array(["0.5"])])
def test_a_parameter_is_a_number(value):
    with pytest.raises(TypeError, match="lam must be a number"):
        DM(lam=value, beta=1.0)


def test_a_scheme_without_a_weight_says_so():
    class Nothing(EDF):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define weight"):
        Nothing().log_weight(0.0)
