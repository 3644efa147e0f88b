"""The loss where numbers end: infinite logits and weights, masks, the limits of a dtype."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import CCE, DM, MAE, Beta, dm_softmax_cross_entropy, from_weight


@pytest.mark.parametrize(("alpha", "eta"), [(0.0, 0.0), (0.0, 2.0), (2.0, 0.0)])
def test_a_scheme_without_an_integral_has_density_zero(alpha, eta):
    edf = Beta(alpha=alpha, eta=eta)
    logits = jnp.array([[2.0, 0.0, 1.0], [-1e4, 1e4, 0.0]])

    def total(logits):
        return dm_softmax_cross_entropy(
            logits, np.array([0, 0]), edf, normalization="density"
        ).sum()

    np.testing.assert_array_equal(edf.density(np.array([0.25, 0.5])), 0.0)
    np.testing.assert_array_equal(jax.grad(total)(logits), 0.0)


def test_a_float16_gradient_uses_the_whole_range():
    logits, labels = np.array([[-1.0, 0.0], [1.0, 0.0]], np.float16), np.array([0, 1])

    def largest(scale):
        def total(logits):
            edf = DM(lam=0.0, beta=0.8)
            losses = dm_softmax_cross_entropy(logits, labels, edf, normalization=None)
            return scale * losses.sum()

        return float(jnp.abs(jax.grad(total)(jnp.asarray(logits))).max())

    assert largest(2.0**16) == pytest.approx(2 * largest(2.0**15), rel=1e-3)
    assert largest(2.0**20) == float(jnp.finfo(jnp.float16).max)


def test_an_infinite_weight_in_a_batch_is_not_a_zero_gradient():
    logits, labels = jnp.array([[-3.0, 0.0], [1.0, 0.0]]), jnp.zeros(2, int)
    infinite = from_weight(lambda p: jnp.exp(100 * (1 - p)))
    gradient = jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, infinite).mean())(logits)
    assert np.isnan(gradient[0]).all()


@pytest.mark.parametrize("normalization", [None, "batch", "density"])
def test_a_saturation_below_the_smallest_float_is_none(normalization):
    logits, labels = jnp.array([[300.0, 0.0, 0.0], [2.0, 1.0, 0.0]]), jnp.zeros(2, int)

    def gradient(saturation):
        return jax.grad(
            lambda z: dm_softmax_cross_entropy(
                z,
                labels,
                DM(lam=0.5, beta=8.0),
                normalization=normalization,
                saturation=saturation,
            ).mean()
        )(logits)

    np.testing.assert_array_equal(gradient(1e-40), gradient(0.0))


def test_masked_examples_leave_no_nan_in_derivatives_of_the_gradient():
    logits, labels = jnp.array([[1.0, 0.0], [0.0, 3.0], [jnp.nan, 0.0]]), jnp.array([0, 0, 0])
    where = jnp.array([True, True, False])

    def size(beta, logits):
        def total(logits):
            edf = DM(lam=0.5, beta=beta)
            return dm_softmax_cross_entropy(logits, labels, edf, where=where).sum()

        return (jax.grad(total)(logits) ** 2).sum()

    by_beta = jax.jit(jax.grad(size))
    expected = by_beta(8.0, logits.at[2].set(0.0))
    np.testing.assert_allclose(by_beta(8.0, logits), expected, rtol=1e-6)


@pytest.mark.parametrize("normalization", ["batch", None])
@pytest.mark.parametrize(
    "edf", [CCE(), DM(0.5, 8.0), MAE(), DM(0.0, -0.33), Beta(1.0, 1.0)], ids=str
)
def test_classes_masked_by_minus_infinity(edf, normalization):
    """As optax has it: a masked class gets no gradient; the only class left has p = 1."""
    logits = jnp.array([[0.0, -jnp.inf, 1.0], [2.0, -jnp.inf, -jnp.inf], [-jnp.inf, 0.0, 0.0]])

    def loss(logits):
        return dm_softmax_cross_entropy(logits, jnp.zeros(3, int), edf, normalization=normalization)

    losses, gradient = jax.jit(lambda z: (loss(z), jax.grad(lambda z: loss(z).sum())(z)))(logits)
    np.testing.assert_allclose(losses[:2], [np.log1p(np.e), 0.0], rtol=1e-6)
    assert losses[2] == np.inf  # the label is masked
    np.testing.assert_allclose(gradient[0], gradient[0, 2] * np.array([-1.0, 0.0, 1.0]), rtol=1e-6)
    np.testing.assert_array_equal(gradient[1], 0)
    assert np.isfinite(gradient[2]).all()


def test_the_gradient_of_the_only_class_left_has_a_derivative():
    logits = jnp.array([[0.0, 1.0, 2.0], [2.0, -jnp.inf, -jnp.inf]])

    def loss(logits):
        return dm_softmax_cross_entropy(logits, jnp.zeros(2, int), DM(0.5, 8.0)).sum()

    assert np.isfinite(jax.jit(jax.jacrev(jax.grad(loss)))(logits)).all()


def test_logits_of_a_diverged_network_show():
    for logits in ([jnp.inf, 0.0], [0.0, jnp.inf], [jnp.nan, 0.0]):
        loss = dm_softmax_cross_entropy(jnp.array([logits]), jnp.array([0]), CCE())
        assert np.isnan(loss).all()


def test_one_example_that_is_not_a_number_spoils_the_common_normaliser():
    logits = jnp.array([[0.0, 1.0], [jnp.nan, 0.0], [2.0, 0.0]])
    labels = jnp.zeros(3, int)
    gradient = jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, MAE()).mean())(logits)
    assert np.isnan(gradient).all()
