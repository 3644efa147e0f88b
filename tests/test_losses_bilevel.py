"""Derivatives of the gradient: by EDF parameters, class weights and logits; one trace; vmap."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dm_jax import (
    CCE,
    DM,
    EDF,
    GCE,
    MAE,
    Beta,
    Exponential,
    Normal,
    dm_softmax_cross_entropy,
)


class Bump(EDF):
    centre: float
    width: float

    def weight(self, p):
        return jnp.exp(-(((p - self.centre) / self.width) ** 2))


SCHEMES = [
    DM(lam=0.5, beta=8.0),
    DM(lam=0.0, beta=8.0),
    Normal(psi=0.3, beta=4.0),
    Exponential(beta=2.0),
    Beta(alpha=2.0, eta=1.5),
    GCE(q=0.7),
    Bump(centre=0.4, width=0.3),
]


def problem():
    random = np.random.default_rng(0)
    inputs, weights = random.normal(size=(24, 6)), random.normal(size=(6, 4))
    return jnp.asarray(inputs), jnp.asarray(random.integers(0, 4, 24)), jnp.asarray(weights)


def after_one_step(edf, class_weights, normalization, spread=1.0):
    """Validation loss after one SGD step on the DM loss: what a bilevel method differentiates."""
    inputs, labels, weights = problem()
    where = jnp.arange(12) != 3

    def train_loss(weights):
        losses = dm_softmax_cross_entropy(
            spread * inputs[:12] @ weights,
            labels[:12],
            edf,
            normalization=normalization,
            where=where,
            class_weights=class_weights,
        )
        return losses.sum() / where.sum()

    stepped = weights - 0.5 * jax.grad(train_loss)(weights)
    # Plain cross entropy: of the DM loss, value and gradient differ on purpose.
    validation = optax.softmax_cross_entropy_with_integer_labels(inputs[12:] @ stepped, labels[12:])
    return validation.mean()


def finite_difference(function, tree):
    """Central differences by every leaf."""
    leaves, structure = jax.tree.flatten(tree)

    def by(i, j):
        def moved(step):
            changed = np.array(leaves[i], float)
            changed.flat[j] += step
            return structure.unflatten([*leaves[:i], jnp.asarray(changed), *leaves[i + 1 :]])

        return (function(moved(1e-5)) - function(moved(-1e-5))) / 2e-5

    return [[by(i, j) for j in range(np.size(leaf))] for i, leaf in enumerate(leaves)]


@pytest.mark.parametrize("edf", SCHEMES, ids=repr)
@pytest.mark.parametrize(
    "normalization", ["batch", pytest.param("density", marks=pytest.mark.long)]
)
def test_gradient_by_the_parameters_through_a_step(edf, normalization):
    with jax.enable_x64(True):
        start = edf
        if edf == DM(lam=0.0, beta=8.0):  # differences need room on both sides of lam
            start = DM(lam=1.1e-5, beta=8.0)
        function = jax.jit(lambda e: after_one_step(e, None, normalization))
        got = jax.jit(jax.grad(function))(edf)
        expected = finite_difference(function, start)
        np.testing.assert_allclose(
            np.ravel(jax.tree.leaves(got)), np.ravel(expected), rtol=2e-3, atol=1e-7
        )


@pytest.mark.parametrize("spread", [1.0, 60.0])
def test_gradient_by_class_weights_through_a_step(spread):
    with jax.enable_x64(True):
        class_weights = jnp.array([1.0, 0.5, 2.0, 1.5])
        function = jax.jit(lambda c: after_one_step(DM(lam=0.5, beta=2.0), c, "batch", spread))
        got = jax.jit(jax.grad(function))(class_weights)
        expected = np.ravel(finite_difference(function, class_weights))
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-8)


@pytest.mark.parametrize("normalization", ["batch", "density", None])
def test_gradient_by_a_class_weight_of_zero(normalization):
    """Where a meta-learner may start from."""
    with jax.enable_x64(True):

        @jax.jit
        def function(weight):
            class_weights = jnp.array([weight, 0.5, 2.0, 1.5])
            return after_one_step(DM(lam=0.5, beta=2.0), class_weights, normalization)

        expected = (function(1e-5) - function(0.0)) / 1e-5
        np.testing.assert_allclose(jax.grad(function)(0.0), expected, rtol=1e-3)


@pytest.mark.parametrize("edf", [DM(lam=0.5, beta=8.0), CCE(), MAE(), GCE(q=0.7)], ids=repr)
def test_second_derivatives_at_equal_logits(edf):
    """At p = 1/2, a margin of exactly 0, as at the start of a network of zeros."""
    with jax.enable_x64(True):
        logits, labels = jnp.zeros((3, 2)), jnp.array([0, 1, 0])
        direction = jnp.array([[1.0, -2.0], [0.5, 0.5], [0.3, 1.0]])
        gradient = jax.jit(
            jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, edf, normalization=None).sum())
        )
        _, got = jax.jvp(gradient, (logits,), (direction,))
        above, below = gradient(logits + 1e-6 * direction), gradient(logits - 1e-6 * direction)
        np.testing.assert_allclose(got, (above - below) / 2e-6, atol=1e-8)


@pytest.mark.parametrize("spread", [1.0, 60.0, 1e4])
def test_second_derivatives_by_the_logits(spread):
    """The rule itself is differentiable, where the exponentials are computed again too."""
    with jax.enable_x64(True):
        inputs, labels, weights = problem()
        logits, direction = spread * inputs @ weights, inputs @ weights[:, ::-1]

        def gradient(logits):
            losses = dm_softmax_cross_entropy(logits, labels, DM(lam=0.5, beta=4.0))
            return losses.mean()

        gradient = jax.jit(jax.grad(gradient))
        _, got = jax.jvp(gradient, (logits,), (direction,))
        expected = (
            gradient(logits + 1e-6 * direction) - gradient(logits - 1e-6 * direction)
        ) / 2e-6
        np.testing.assert_allclose(got, expected, atol=1e-8)
        reverse = jax.vjp(gradient, logits)[1](direction)[0]
        assert bool(jnp.isfinite(reverse).all())


def test_first_derivative_by_the_parameters_is_zero():
    """The value is the cross entropy: it does not depend on them."""
    _, labels, _ = problem()
    logits = jnp.zeros((24, 4)).at[0, 1].set(3.0)

    def mean(edf, class_weights):
        return dm_softmax_cross_entropy(logits, labels, edf, class_weights=class_weights).mean()

    got = jax.jit(jax.grad(mean, argnums=(0, 1)))(DM(lam=0.5, beta=8.0), jnp.ones(4))
    assert all(not np.any(leaf) for leaf in jax.tree.leaves(got))
    assert isinstance(got[0], DM)


@pytest.mark.parametrize("edf", [DM(lam=0.0, beta=92.0), Beta(alpha=0.5, eta=2.0)])
@pytest.mark.parametrize("weighted", [False, True])
def test_a_weight_beyond_the_largest_float_hides_no_other_derivative(edf, weighted):
    """The weight of example 0 is clamped; the objective reads the gradient of example 1."""
    logits, labels = jnp.array([[-300.0, 0.0, 1.0], [2.0, 1.0, -2.0]]), jnp.array([0, 1])

    def objective(edf, class_weights, logits):
        gradient = jax.grad(
            lambda z: dm_softmax_cross_entropy(
                z, labels, edf, normalization=None, class_weights=class_weights
            ).sum()
        )(logits)
        return (gradient[-1] * jnp.arange(3.0)).sum()

    class_weights = jnp.array([1e3, 1.0, 1.0]) if weighted else None
    derivative = jax.jit(jax.grad(objective, argnums=(0, 1) if weighted else 0))
    got = derivative(edf, class_weights, logits)
    expected = derivative(edf, class_weights, logits.at[0].set(0.0))
    for leaf, other in zip(jax.tree.leaves(got), jax.tree.leaves(expected), strict=True):
        np.testing.assert_allclose(leaf, other, rtol=1e-5)


def test_one_trace_serves_all_parameter_values():
    traces = []

    @jax.jit
    def gradient(logits, edf):
        traces.append(edf)
        return jax.grad(lambda z: dm_softmax_cross_entropy(z, jnp.zeros(3, int), edf).mean())(
            logits
        )

    logits = jnp.arange(12.0).reshape(3, 4)
    for lam, beta in [(0, 1), (0.5, 8.0), (2, np.float32(16))]:
        gradient(logits, DM(lam=lam, beta=beta))
    assert len(traces) == 1


@pytest.mark.parametrize("spread", [1.0, pytest.param(1e4, marks=pytest.mark.long)])
def test_vmap_over_parameters(spread):
    logits = spread * jax.random.normal(jax.random.key(0), (16, 4))
    labels = jnp.arange(16) % 4
    population = Bump(centre=jnp.linspace(0, 1, 5), width=jnp.full(5, 0.3))

    def gradient(edf):
        return jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, edf).mean())(logits)

    got = jax.jit(jax.vmap(gradient))(population)
    one = jax.jit(gradient)
    for i in range(5):
        expected = one(jax.tree.map(lambda leaf, i=i: leaf[i], population))
        np.testing.assert_allclose(got[i], expected, rtol=1e-5, atol=1e-9)
