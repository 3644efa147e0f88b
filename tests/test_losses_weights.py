"""The weights of examples in the loss: parameters of their own, class weights, and NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import (
    CCE,
    DM,
    EDF,
    MAE,
    Beta,
    Exponential,
    Normal,
    dm_softmax_cross_entropy,
    from_weight,
)
from tests.test_losses import examples


class Ramp(EDF):
    """A custom scheme with two parameters."""

    power: float
    scale: float

    def weight(self, p):
        return self.scale * (1 - p) ** self.power


@pytest.mark.parametrize("cls", [DM, Exponential, Normal, Beta, Ramp], ids=lambda cls: cls.__name__)
@pytest.mark.parametrize("mapped", [False, True])
def test_every_example_may_have_its_own_parameters(cls, mapped):
    """As arrays, or as one scheme for each lane of a mapped axis."""
    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(6, 4)).astype(np.float32), np.arange(6) % 4
    columns = (random.uniform(0.1, 1, 6), random.uniform(1, 9, 6))
    edf = cls(*np.float32(columns[1:] if cls is Exponential else columns))

    def loss(logits, labels, edf):
        losses = dm_softmax_cross_entropy(
            logits, labels, edf, saturation=0.0, axis_name="lane" if mapped else None
        )
        return losses.sum() / 6

    gradient = jax.vmap(jax.grad(loss), axis_name="lane") if mapped else jax.grad(loss)
    got = np.abs(jax.jit(gradient)(logits, labels, edf)).sum(-1)
    weight = np.asarray(edf.weight(np.asarray(jax.nn.softmax(logits))[np.arange(6), labels]))
    np.testing.assert_allclose(got, weight / weight.sum(), rtol=1e-5)


@pytest.mark.long
def test_every_example_may_have_its_own_density():
    """Also as many examples as the quadrature has nodes."""
    logits, labels = np.zeros((2048, 2), np.float32), np.zeros(2048, int)
    beta = np.linspace(1, 9, 2048, dtype=np.float32)

    def loss(logits, edf):
        return dm_softmax_cross_entropy(
            logits, labels, edf, normalization="density", saturation=0.0
        ).sum()

    got = np.abs(jax.grad(loss)(logits, DM(lam=0.5, beta=beta))).sum(-1)
    for index in (0, 1000, 2047):
        expected = DM(lam=0.5, beta=beta[index]).density(0.5)
        np.testing.assert_allclose(got[index], expected, rtol=1e-5)


def test_the_parameters_of_masked_examples_do_not_count():
    logits, labels = np.zeros((3, 2), np.float32), np.zeros(3, int)
    edf = Exponential(np.float32([1.1, 2.3, 1e6]))  # 1.1 - 1e6 would lose digits
    where = np.array([True, True, False])
    gradient = jax.grad(
        lambda z: dm_softmax_cross_entropy(z, labels, edf, where=where, saturation=0.0).sum() / 2
    )(logits)
    weight = np.exp([0.55, 1.15])
    np.testing.assert_allclose(np.abs(gradient).sum(-1)[:2], weight / weight.sum(), rtol=1e-5)


def test_a_weight_that_is_not_a_number_shows():
    """So that a run stops instead of training nothing."""
    logits, labels, broken = np.zeros((3, 2)), np.array([0, 1, 1]), from_weight(lambda p: p / 0 * 0)
    gradient = jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, broken).sum())(logits)
    assert np.isnan(gradient).all()


@pytest.mark.parametrize(
    "class_weights", [np.array([1.0, 0.0, 2.0, 0.5], np.float32), np.array([1, 0, 4, 2])]
)
def test_class_weights_multiply_the_emphasis(class_weights):
    logits, labels = examples(32, 4, 1.0)

    def mean(logits):
        return dm_softmax_cross_entropy(
            logits, labels, MAE(), class_weights=class_weights, saturation=0.0
        ).mean()

    p = np.take_along_axis(np.asarray(jax.nn.softmax(logits)), labels[:, None], -1)[:, 0]
    weights = p * (1 - p) * class_weights[labels]
    got = np.abs(jax.grad(mean)(logits)).sum(-1)
    np.testing.assert_allclose(got, weights / weights.sum(), rtol=1e-5)


@pytest.mark.parametrize(
    ("edf", "class_weights"),
    [(DM(lam=0.0, beta=200.0), [0.0, 1.0]), (DM(lam=0.0, beta=10.0), [3e38, 1e38])],
    ids=["the heaviest example has weight zero", "their sum overflows"],
)
def test_only_ratios_of_class_weights_count(edf, class_weights):
    logits, labels = jnp.array([[-4.0, 4.0], [-3.0, 3.0], [-8.0, 8.0]]), jnp.array([0, 0, 1])

    def mean(logits, class_weights):
        losses = dm_softmax_cross_entropy(
            logits, labels, edf, class_weights=class_weights, saturation=0.0
        )
        return losses.mean()

    got = jax.grad(mean)(logits, np.array(class_weights, np.float32))
    assert np.abs(got).sum() == pytest.approx(1, rel=1e-5)
    scaled = np.array(class_weights, np.float32) / np.float32(max(class_weights))
    np.testing.assert_allclose(got, jax.grad(mean)(logits, scaled), rtol=1e-5)


@pytest.mark.parametrize("class_weights", [[1.0, -1.0], np.array([1.0, np.nan]), [1.0, 1e300]])
@pytest.mark.parametrize("wrap", [lambda loss: loss, jax.jit], ids=["at once", "traced"])
def test_class_weights_are_checked_while_tracing_too(class_weights, wrap):
    def loss(logits):
        return dm_softmax_cross_entropy(logits, np.array([1]), CCE(), class_weights=class_weights)

    with pytest.raises(ValueError, match="class_weights must be finite and at least 0, got"):
        wrap(loss)(jnp.zeros((1, 2)))


def test_class_weights_may_be_traced_one_by_one():
    @jax.jit
    def loss(logits, first):
        return dm_softmax_cross_entropy(logits, np.array([1]), CCE(), class_weights=[first, 1.0])

    np.testing.assert_allclose(loss(jnp.zeros((1, 2)), 2.0), np.log(2), rtol=1e-6)


def test_class_weights_on_a_mesh_with_explicit_axes():
    logits = np.array([[1.0, 0.0, 2.0], [0.0, 3.0, 1.0]], np.float32)

    def gradient(logits, labels):
        weights = jnp.array([1.0, 2.0, 3.0])
        return jax.grad(
            lambda z: dm_softmax_cross_entropy(z, labels, MAE(), class_weights=weights).sum()
        )(logits)

    expected = gradient(logits, np.array([0, 2]))
    mesh = jax.make_mesh((2,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    rows = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec("data"))
    with jax.set_mesh(mesh):
        sharded = jax.device_put((logits, np.array([0, 2])), rows)
        np.testing.assert_allclose(jax.jit(gradient)(*sharded), expected, rtol=1e-6)
