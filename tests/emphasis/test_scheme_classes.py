"""Classes of schemes: what super() and static methods are, arrays as parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import DM, EDF, Beta, Exponential, dm_softmax_cross_entropy, from_loss
from dm_jax.emphasis import create, parameter


class _Twice(DM):
    def log_weight(self, margin):
        return jnp.log(2.0) + super().log_weight(margin)


class _TwiceByScale(DM):
    @property
    def log_scale(self):
        return jnp.log(2.0) + super().log_scale


class _Hill(EDF):
    def weight(self, p):
        return p * (1 - p)


class _TwiceHill(_Hill):
    def log_weight(self, margin):
        return jnp.log(2.0) + super().log_weight(margin)


class _Falling(EDF):
    def log_weight(self, margin):
        return -jax.nn.softplus(margin)


class _TwiceFalling(_Falling):
    def weight(self, p):
        return 2 * super().weight(p)


class _TwiceOfLoss(type(from_loss(lambda p: 1 - p))):  # type: ignore[misc]
    def weight(self, p):
        return 2 * super().weight(p)


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        (_Twice(lam=0.5, beta=8.0), DM(lam=0.5, beta=8.0)),
        (_TwiceByScale(lam=0.5, beta=8.0), DM(lam=0.5, beta=8.0)),
        (_TwiceHill(), _Hill()),
        (_TwiceFalling(), _Falling()),
        pytest.param(
            _TwiceOfLoss(lambda p: 1 - p), from_loss(lambda p: 1 - p), marks=pytest.mark.long
        ),
    ],
    ids=[
        "log_weight of a shape",
        "log_scale",
        "log_weight of a weight",
        "weight of a log_weight",
        "weight of a loss",
    ],
)
def test_super_is_the_parents_scheme(child, parent):
    p = np.array([0.1, 0.5, 0.9])

    @jax.jit
    def values(scheme):
        return scheme.weight(p), scheme.log_weight(np.log(p / (1 - p))), scheme.density(p)

    (weight, log_weight, density), of_parent = values(child), values(parent)
    np.testing.assert_allclose(weight, 2 * of_parent[0], rtol=1e-5)
    np.testing.assert_allclose(log_weight, of_parent[1] + np.log(2), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(density, of_parent[2], rtol=1e-4)


@pytest.mark.parametrize(
    "array", [np.array(2, np.uint8), jnp.uint8(2), np.array([2, 2]), np.int64(2)]
)
def test_whole_numbers_are_numbers(array):
    np.testing.assert_allclose(Exponential(array).density(0.3), Exponential(2.0).density(0.3))


def test_whole_probabilities_and_margins_are_numbers():
    edf = DM(lam=0.5, beta=8.0)
    for method, whole in ((edf.weight, 1), (edf.log_weight, 3), (edf.potential, -3)):
        assert method(whole).dtype == jnp.float32
        assert method(whole) == method(float(whole))


def test_the_smallest_integer_does_not_wrap_round():
    lowest = jnp.int8(-128)
    np.testing.assert_allclose(Exponential(lowest).density(1.0), 128.0, rtol=1e-5)


def test_whatever_jax_puts_in_a_scheme_can_be_printed():
    edf = DM(jnp.array([1, 2]), jnp.array(3))
    gradient = jax.grad(lambda edf: 0.0 * edf.beta, allow_int=True)(edf)
    assert repr(gradient) == "DM(lam=float0[2], beta=float0[])"


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_loses_digits_only_once(dtype):
    p, margin, edf = jnp.asarray(0.99, dtype), jnp.asarray(-20, dtype), Beta(alpha=0.5, eta=0.5)
    np.testing.assert_allclose(edf.density(p), edf.density(p.astype("float32")), rtol=1e-6)
    expected = edf.potential(margin.astype("float32"))
    assert edf.potential(margin) == expected.astype(dtype)


@pytest.mark.parametrize("shape", [(3,), (2, 1)])
def test_a_parameter_of_a_wrong_shape_is_named(shape):
    with pytest.raises(ValueError, match=r"one weight for each label, \[2\]; .* DM"):
        dm_softmax_cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2, int), DM(0.5, jnp.ones(shape)))


class _Static(EDF):
    @staticmethod
    def weight(p):
        return p * (1 - p)


class _ConstantScale(EDF):
    log_scale = 0.7

    def log_shape(self, margin):
        return -jnp.abs(margin)


class _Table(EDF):
    """One weight for all, the mean of an array."""

    table: float

    def log_shape(self, margin):
        return jnp.mean(self.table)


class _Branching(EDF):
    table: float

    def weight(self, p):
        return p if p.sum() > 0 else self.table


class _Knots(EDF):
    """A table whose default is an array."""

    knots: float = parameter(minimum=0, default_factory=lambda: np.array([1.0, 0.5, 0.0]))

    def weight(self, p):
        return jnp.interp(p, jnp.linspace(0, 1, 3), self.knots)


def test_a_table_may_have_a_default():
    for edf in (_Knots(), create(f"{__name__}:_Knots")):
        np.testing.assert_array_equal(edf.weight(jnp.array([0.0, 0.25])), [1.0, 0.75])
    with pytest.raises(ValueError, match=r"_Knots: knots must be finite and in \[0, inf\]"):
        _Knots(np.array([-1.0]))


def test_methods_may_be_static_and_constants_plain():
    assert _Static().log_weight(0.0) == pytest.approx(np.log(0.25))
    assert _ConstantScale().log_weight(1.0) == pytest.approx(-0.3)


def test_an_array_may_give_one_weight_for_all():
    losses = dm_softmax_cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2, int), _Table(jnp.ones(5)))
    assert losses.shape == (2,)


def test_a_weight_that_cannot_be_traced_says_so_with_arrays_too():
    with pytest.raises(jax.errors.TracerBoolConversionError):
        dm_softmax_cross_entropy(jnp.zeros((2, 3)), jnp.zeros(2, int), _Branching(jnp.ones(2)))
