"""Schemes that users write: their tails and limits, subclasses, mixtures, and what is refused."""

import dataclasses
import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization, struct
from jax import nn
from jax.scipy import stats
from scipy import integrate, special

from dm_jax import (
    CCE,
    DM,
    EDF,
    GCE,
    MAE,
    Beta,
    emphasis,
    from_loss,
    from_pdf,
    from_weight,
)
from tests import written_formula
from tests.emphasis.test_emphasis import MARGINS, P, Ramp


def test_flax_serialises_a_scheme():
    state = {"edf": DM(0.5, jnp.arange(3.0)), "mixed": Mixture(CCE(), GCE(0.7), 0.25)}
    read = serialization.from_bytes(state, serialization.to_bytes(state))
    assert read["edf"].lam == 0.5
    np.testing.assert_array_equal(read["edf"].beta, state["edf"].beta)
    assert read["mixed"] == state["mixed"]
    with pytest.raises(ValueError, match="the state of a DM has lam, beta, got lam"):
        serialization.from_state_dict(state["edf"], {"lam": 1.0})


def test_axes_of_a_scheme_are_a_tree_of_its_structure():
    edf = DM(0.5, jnp.arange(3.0))
    axes = jax.tree.unflatten(jax.tree.structure(edf), [None, 0])
    found = jax.vmap(lambda edf: edf.weight(0.2), in_axes=(axes,))(edf)
    np.testing.assert_allclose(found, edf.weight(0.2), rtol=1e-6)
    with pytest.raises(TypeError, match="got None; write in_axes and in_specs with"):
        DM(None, 0)


def test_a_users_scheme_is_a_frozen_pytree():
    edf = Ramp(power=2)
    assert repr(edf) == "Ramp(power=2.0)"
    assert jax.tree.leaves(edf) == [2.0]
    with pytest.raises(dataclasses.FrozenInstanceError):
        edf.power = 3.0
    assert pickle.loads(pickle.dumps(edf)) == edf
    assert edf.replace(power=3.0) == dataclasses.replace(edf, power=3.0) == Ramp(power=3.0)
    modes = jax.jit(jax.vmap(lambda e: e.mode))(Ramp(power=jnp.array([1.0, 2.0])))
    np.testing.assert_allclose(modes, 0, atol=1e-6)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(edf)]
    assert paths == [".power"]


def test_a_parameter_may_be_an_array():
    """One value for each example; the methods are those of each value alone."""
    widths, margins = jnp.array([1.0, 2.0, 3.0]), jnp.array([-1.0, 0.5, 30.0])
    edf = Ramp(power=widths)
    potential, density = jax.jit(Ramp.potential), jax.jit(Ramp.density)
    for method, argument in ((potential, margins), (density, nn.sigmoid(margins))):
        alone = [method(Ramp(power=w), x) for w, x in zip(widths, argument, strict=True)]
        np.testing.assert_allclose(method(edf, argument), jnp.stack(alone), rtol=1e-5)
    alone = [potential(Ramp(power=w), 0.5) for w in widths]
    np.testing.assert_allclose(potential(edf, 0.5), jnp.stack(alone), rtol=1e-5)
    mode = jax.jit(lambda edf: edf.mode)
    np.testing.assert_allclose(mode(edf), [mode(Ramp(power=w)) for w in widths], atol=1e-6)


@pytest.mark.parametrize(
    "decorate", [struct.dataclass, dataclasses.dataclass(frozen=True)], ids=["flax", "dataclass"]
)
def test_a_scheme_may_be_decorated_as_the_dataclass_that_it_is(decorate):
    @decorate
    class Knee(EDF):
        knee: float

        def weight(self, p):
            return jnp.minimum(p / self.knee, 1)

    edf = Knee(knee=1).replace(knee=jnp.float32(0.5))
    assert repr(edf) == "Knee(knee=0.5)"
    assert jax.jit(lambda edf: edf.weight(0.25))(edf) == 0.5
    with pytest.raises(dataclasses.FrozenInstanceError):
        edf.knee = 1.0
    with pytest.raises(ValueError, match="knee must be finite"):
        Knee(knee=np.nan)


class Branching(EDF):
    """Cannot be traced."""

    knee: float

    def weight(self, p):
        return 1.0 if p > self.knee else p


class OfNumPy(Branching):
    """Nor can this."""

    def weight(self, p):
        return np.exp(-p)


class OnePredicate(EDF):
    """Works for one p at a time only."""

    knee: float

    def weight(self, p):
        return jax.lax.cond(p > self.knee, lambda: 1.0, lambda: 0.5)


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


class Constant:
    """A mixin with a weight."""

    def weight(self, p):
        return jnp.ones_like(p)


class Mixed(Constant, CCE):
    """A built-in scheme whose weight a mixin replaces."""


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
        Mixed(),
    ],
)
def test_a_subclass_of_a_built_in_scheme_is_its_own(edf):
    """What the parent knows of its weight, such as a closed form of its area, is not used."""
    weight = np.array(edf.weight(P))
    np.testing.assert_allclose(np.exp(edf.log_weight(MARGINS)), weight, rtol=1e-4)
    shape = np.exp(edf.log_shape(MARGINS) + edf.log_scale)
    np.testing.assert_allclose(shape, weight, rtol=1e-4)
    area = integrate.quad(lambda p: float(edf.weight(p)), 0, 1, limit=200)[0]
    np.testing.assert_allclose(jax.jit(edf.density)(P), weight / area, rtol=1e-3)
    largest = jax.jit(lambda: edf.weight(edf.mode))()
    assert weight.max() <= float(largest) * (1 + 1e-4)


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


def test_a_scheme_without_a_weight_says_so():
    class Nothing(EDF):
        pass

    with pytest.raises(NotImplementedError, match="Nothing must define weight"):
        Nothing().log_weight(0.0)


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("Low", {"top": 2.0}, r"top.*\[-inf, 1\].*2.0"),
        ("Branching", {"knee": 0.5}, "`if p > ...` and np.exp do; write it"),
        ("OfNumPy", {"knee": 0.5}, "OfNumPy cannot be traced"),
        ("Falling", {"slope": 2.0}, "at least 0, but is not at p = 0.51"),
        ("OnePredicate", {"knee": 0.5}, "must be elementwise, but fails for an array of p: Pred"),
        ("Falling", {"slope": np.ones(3)}, r"elementwise, but maps \(99,\) to"),
    ],
)
def test_a_weight_that_is_none_is_named(name, given, words):
    with pytest.raises(ValueError, match=words):
        emphasis.create(f"{__name__}:{name}", **given)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda: from_weight(3.0), TypeError, "from_weight takes a function of p, got 3.0"),
        (lambda: from_weight(MAE()), TypeError, r"takes a function of p, got MAE\(\)"),
        (lambda: from_pdf(lambda p: None), TypeError, "must return a number, got None"),
        (lambda: from_loss(lambda p: 1.0 if p > 0.5 else p), ValueError, "cannot be traced"),
    ],
)
def test_what_is_no_function_of_p_is_named_at_once(make, error, words):
    with pytest.raises(error, match=words):
        make()


def test_a_constant_loss_has_no_weight():
    assert from_loss(lambda p: 1).weight(0.3) == 0
