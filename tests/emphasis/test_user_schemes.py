"""Schemes that users write: pytrees, subclasses, mixtures, and what is refused."""

import dataclasses
import pickle
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import serialization, struct
from jax import nn
from scipy import integrate

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
    with pytest.raises(dataclasses.FrozenInstanceError):
        del edf.power
    assert pickle.loads(pickle.dumps(edf)) == edf
    assert edf.replace(power=3.0) == dataclasses.replace(edf, power=3.0) == Ramp(power=3.0)
    modes = jax.jit(jax.vmap(lambda e: e.mode))(Ramp(power=jnp.array([1.0, 2.0])))
    np.testing.assert_allclose(modes, 0, atol=1e-6)
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_leaves_with_path(edf)]
    assert paths == [".power"]


class Wave(EDF):
    """A scheme with a static field between its parameters."""

    rate: float
    function: Callable[[jax.Array], jax.Array] = emphasis.static(default=jnp.cos)
    height: float = emphasis.parameter(default=2.0, maximum=3.0)

    def weight(self, p):
        return self.height + self.function(self.rate * p)


def test_a_static_field_is_part_of_the_structure():
    weight = jax.jit(lambda edf: edf.weight(0.5))
    for function in (jnp.cos, jnp.sin):
        edf = Wave(1.0, function)
        assert jax.tree.leaves(edf) == [1.0, 2.0]
        assert weight(edf) == pytest.approx(2 + float(function(0.5)))
        state = serialization.to_state_dict(edf)
        assert state == {"rate": 1.0, "height": 2.0}
        assert serialization.from_state_dict(Wave(3.0, function, 0.0), state) == edf
    with pytest.raises(
        ValueError, match="the state of a Wave has rate, height, got rate, height, function"
    ):
        serialization.from_state_dict(edf, state | {"function": jnp.cos})


def test_replacing_keeps_the_other_fields_and_checks_the_new_values():
    edf = Wave(1.0, jnp.sin, 3.0)
    assert repr(edf.replace(rate=2)) == "Wave(rate=2.0, function=sin, height=3.0)"
    assert edf.replace(function=jnp.cos) == Wave(1.0, height=3.0)
    with pytest.raises(ValueError, match=r"height must be finite and in \[-inf, 3\], got 4.0"):
        edf.replace(height=4.0)
    slope = jax.jit(jax.grad(lambda height: edf.replace(height=height).weight(0.5)))
    assert slope(4.0) == 1  # of a traced value the range is not known


class Shifted(Ramp):
    """A user's scheme with a further parameter and the weight of the first."""

    shift: float = 0.5
    factory: list = emphasis.static(default_factory=lambda: ["own"])

    def weight(self, p):
        return self.shift + super().weight(p)


def test_a_subclass_has_the_parameters_of_its_parent_too():
    edf = Shifted(power=2)
    assert repr(edf) == "Shifted(power=2.0, shift=0.5, factory=['own'])"
    powers = jnp.array([1.0, 2.0])
    found = jax.vmap(lambda power: Shifted(power=power, shift=1.0).weight(0.5))(powers)
    np.testing.assert_allclose(found, [1.5, 1.25])
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), edf, edf.replace(power=1.0))
    np.testing.assert_allclose(jax.vmap(lambda e: e.weight(0.5))(stacked), [0.75, 1.0])


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


@jax.custom_vjp
def _squared(p):
    return p**2


_squared.defvjp(lambda p: (p**2, p), lambda p, g: (2 * p * g,))


class Backward(EDF):
    """Differentiable in reverse mode only."""

    def weight(self, p):
        return _squared(jnp.asarray(p))


class OfAll(EDF):
    """Depends on the other examples."""

    knee: float

    def weight(self, p):
        return 1e-12 * jnp.exp(-p / self.knee) / jnp.mean(p)


class OfRanks(EDF):
    """Needs all examples at once."""

    knee: float

    def weight(self, p):
        return jnp.sort(p) > self.knee


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


class Early(EDF):
    """Is zero above 0.5 for a scale of one, and not a number there for one of zero."""

    scale: float = emphasis.parameter(default_factory=lambda: 1.0)

    def weight(self, p):
        return jnp.where(p > 0.5, jnp.divide(0.0, self.scale), 0.5 - p)


class Low(EDF):
    """Has a parameter with an upper bound alone."""

    top: float = emphasis.parameter(maximum=1)

    def weight(self, p):
        return jnp.minimum(p, self.top)


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


class Plain(Constant):
    """A mixin of a mixin."""


class Mixed(Plain, CCE):
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


def test_a_parents_closed_potential_is_not_that_of_another_weight():
    assert jax.jit(Mixed().potential)(2.0) == pytest.approx(-1, rel=1e-5)


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
        ("OfNumPy", {"knee": 0.5}, r"^weight of \S+OfNumPy cannot be traced"),
        ("Early", {"scale": 0.0}, r"at least 0, is nan at p = 0\.51"),
        ("Falling", {"slope": 2.0}, r"at least 0, is -0\.02 at p = 0.51"),
        ("OnePredicate", {"knee": 0.5}, "must be elementwise, but fails for an array of p: Pred"),
        ("OfRanks", {"knee": 0.5}, "weight of .*OfRanks fails: axis -1 is out of bounds"),
        ("Backward", {}, "from weight and its forward derivative, fails: can't apply forward-mode"),
        ("OfAll", {"knee": 0.5}, "elementwise, but the weight of one p depends on the others"),
        ("Falling", {"slope": np.ones(3)}, r"elementwise, but maps \(99,\) to"),
    ],
)
def test_a_weight_that_is_none_is_named(name, given, words):
    with pytest.raises(ValueError, match=words):
        emphasis.create(f"{__name__}:{name}", **given)


def test_a_weight_may_be_zero_and_a_parameter_made_by_a_factory():
    edf = emphasis.create(f"{__name__}:Early")
    np.testing.assert_array_equal(edf.weight(jnp.array([0.25, 0.75])), [0.25, 0])


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
