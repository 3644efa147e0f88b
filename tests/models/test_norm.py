"""Batch statistics are those of the global, unmasked batch, however it is split."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax.models.norm import EPSILON, BatchNorm, batch_moments

RANDOM = np.random.default_rng(0)
IMAGES = RANDOM.normal(3.0, 2.0, (16, 4, 4, 3))
KEPT = np.arange(16) % 3 != 0


def test_moments_are_mean_and_biased_variance_of_each_channel():
    mean, var, _ = batch_moments(jnp.float32(IMAGES))

    np.testing.assert_allclose(mean, IMAGES.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, IMAGES.var((0, 1, 2)), rtol=1e-5)


def test_masked_examples_do_not_enter_the_moments():
    spoiled = np.where(KEPT[:, None, None, None], IMAGES, 1e6)

    mean, var, _ = batch_moments(jnp.float32(spoiled), jnp.asarray(KEPT))

    np.testing.assert_allclose(mean, IMAGES[KEPT].mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(var, IMAGES[KEPT].var((0, 1, 2)), rtol=1e-5)


def test_a_fully_masked_batch_has_finite_moments():
    mean, var, _ = batch_moments(jnp.float32(IMAGES), jnp.zeros(16, bool))

    np.testing.assert_array_equal(mean, 0)
    np.testing.assert_array_equal(var, 0)


def test_variance_survives_a_mean_a_thousand_times_the_deviation():
    x = np.float32(1000 + RANDOM.normal(size=(4096, 1)))

    _, var, _ = batch_moments(jnp.asarray(x))

    np.testing.assert_allclose(var, np.float64(x).var(0), rtol=1e-4)


@pytest.mark.parametrize("where", [None, KEPT], ids=["all", "masked, unequal counts"])
def test_moments_and_gradients_over_devices_equal_those_of_one(where):
    """In float64, with pmap over 8 devices of 2 examples each."""
    with jax.enable_x64(True):
        probe = jnp.asarray(RANDOM.normal(size=IMAGES.shape))

        def normalised(x, where, axis_name):
            mean, var, _ = batch_moments(x, where, axis_name)
            last = (1, 1, 1, -1)
            return (x - mean.reshape(last)) / jnp.sqrt(var.reshape(last) + EPSILON)

        def gradient(x, probe, where=None, axis_name=None):
            return jax.grad(lambda x: jnp.sum(probe * normalised(x, where, axis_name)))(x)

        masks = () if where is None else (jnp.asarray(where),)
        one = gradient(jnp.asarray(IMAGES), probe, *masks)
        shards = [a.reshape(8, 2, *a.shape[1:]) for a in (jnp.asarray(IMAGES), probe, *masks)]
        many = jax.pmap(lambda *args: gradient(*args, axis_name="data"), "data")(*shards)

        np.testing.assert_allclose(many.reshape(one.shape), one, rtol=0, atol=1e-12)


@pytest.mark.parametrize("where", [None, KEPT], ids=["all", "masked"])
def test_first_and_second_derivatives_are_those_of_the_moments_as_written(where):
    def written(x):
        return x.mean((0, 1, 2), where=mask), x.var((0, 1, 2), where=mask)

    def slope(moments):
        def loss(x):
            mean, var = (moment.reshape(1, 1, 1, -1) for moment in moments(x))
            return jnp.sum(probe * jnp.tanh((x - mean) / jnp.sqrt(var + EPSILON)))

        return jax.grad(loss)

    with jax.enable_x64(True):
        x, probe = jnp.asarray(IMAGES), jnp.asarray(RANDOM.normal(size=IMAGES.shape))
        kept = np.ones(16, bool) if where is None else where
        mask = jnp.broadcast_to(kept[:, None, None, None], x.shape)
        ours = slope(lambda x: batch_moments(x, None if where is None else jnp.asarray(where))[:2])
        theirs = slope(written)
        np.testing.assert_allclose(ours(x), theirs(x), rtol=1e-9, atol=1e-12)
        curvatures = (jax.jvp(f, (x,), (probe,))[1] for f in (ours, theirs))
        np.testing.assert_allclose(*curvatures, rtol=1e-9, atol=1e-12)


def test_training_moves_running_statistics_a_tenth_of_the_way():
    norm, variables = BatchNorm(), _initial()

    y, updated = norm.apply(variables, jnp.float32(IMAGES), train=True, mutable=["batch_stats"])

    mean, var = IMAGES.mean((0, 1, 2)), IMAGES.var((0, 1, 2))
    np.testing.assert_allclose(y, (IMAGES - mean) / np.sqrt(var + EPSILON), atol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["mean"], 0.1 * mean, rtol=1e-5)
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * var, rtol=1e-5)


def test_a_batch_in_which_nothing_counts_moves_nothing():
    variables = {**_initial(), "batch_stats": {"mean": jnp.full(3, 5.0), "var": jnp.full(3, 2.0)}}
    batch = (jnp.float32(IMAGES), True, jnp.zeros(len(IMAGES), bool))

    _, updated = BatchNorm().apply(variables, *batch, mutable=["batch_stats"])

    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])


def test_evaluation_uses_the_running_statistics_and_leaves_them():
    variables = _initial()

    y, updated = BatchNorm().apply(
        variables, jnp.float32(IMAGES), train=False, mutable=["batch_stats"]
    )

    np.testing.assert_allclose(y, IMAGES / np.sqrt(1 + EPSILON), rtol=1e-5)
    jax.tree.map(np.testing.assert_array_equal, updated["batch_stats"], variables["batch_stats"])


def test_initialised_in_training_it_is_as_in_evaluation():
    """Outside of the mapped axis, and without having seen a batch."""
    found = BatchNorm("data").init(jax.random.key(0), jnp.float32(IMAGES), train=True)

    jax.tree.map(np.testing.assert_array_equal, found, _initial())


def test_a_population_normalises_each_run_by_itself():
    runs = jnp.float32(IMAGES).reshape(2, 8, 4, 4, 3)

    def train(x):
        return BatchNorm().apply(_initial(), x, train=True, mutable=["batch_stats"])

    together = jax.vmap(train)(runs)

    for run in range(2):
        alone = train(runs[run])
        jax.tree.map(
            lambda a, b, run=run: np.testing.assert_allclose(a[run], b, atol=1e-5), together, alone
        )


def test_bfloat16_keeps_statistics_in_float32():
    norm = BatchNorm(dtype=jnp.bfloat16)
    x = jnp.bfloat16(IMAGES)

    y, updated = norm.apply(_initial(), x, train=True, mutable=["batch_stats"])

    assert y.dtype == jnp.bfloat16
    exact = np.asarray(x, np.float64).var((0, 1, 2))
    np.testing.assert_allclose(updated["batch_stats"]["var"], 0.9 + 0.1 * exact, rtol=1e-5)


def test_no_mask_and_no_axis_compile_to_no_mask_and_no_collective():
    text = jax.jit(batch_moments).lower(jnp.float32(IMAGES)).as_text()

    assert "select" not in text
    assert "all_reduce" not in text


def _initial():
    return BatchNorm().init(jax.random.key(0), jnp.float32(IMAGES), train=False)


def test_a_batch_in_which_nothing_counts_is_not_amplified():
    """Through many layers 1 / sqrt(epsilon) each would overflow."""
    layer = BatchNorm()
    x = jnp.float32(IMAGES)
    variables = layer.init(jax.random.key(0), x, train=False)
    y, _ = layer.apply(variables, x, True, jnp.zeros(16, bool), mutable=["batch_stats"])
    np.testing.assert_allclose(y, x, rtol=1e-4)
