"""Dropout by global example, pools of Caffe's sizes, and the inputs that are refused."""

from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax.models.layers import (
    Classifier,
    ConvNorm,
    Dropout,
    check_images,
    global_mean,
    max_pool,
)

ONES = jnp.ones((16, 50))
KEY = jax.random.key(3)


def _drop(x, key, axis_name=None):
    return Dropout(0.2, axis_name).apply({}, x, train=True, rngs={"dropout": key})


def test_dropout_keeps_the_expectation_and_drops_about_its_rate():
    y = _drop(jnp.ones((100, 100)), KEY)

    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.8)}
    assert abs(float(jnp.mean(y == 0)) - 0.2) < 0.02


def test_dropout_masks_differ_between_examples_and_keys():
    y = _drop(ONES, KEY)

    assert len(np.unique(np.asarray(y), axis=0)) == len(ONES)
    assert (y != _drop(ONES, jax.random.key(4))).any()


@pytest.mark.parametrize("devices", [2, 8])
def test_dropout_does_not_depend_on_how_the_batch_is_split(devices):
    shards = ONES.reshape(devices, -1, 50)

    split = jax.pmap(lambda x, key: _drop(x, key, "data"), "data", in_axes=(0, None))(shards, KEY)

    np.testing.assert_array_equal(split.reshape(ONES.shape), _drop(ONES, KEY))


def test_a_population_drops_by_the_key_of_each_run():
    keys = jax.random.split(KEY, 3)

    together = jax.vmap(_drop, (None, 0))(ONES, keys)

    for run, key in enumerate(keys):
        np.testing.assert_array_equal(together[run], _drop(ONES, key))


@pytest.mark.parametrize(("rate", "train"), [(0.0, True), (0.2, False)])
def test_dropout_is_the_identity_without_a_rate_or_training(rate, train):
    np.testing.assert_array_equal(Dropout(rate).apply({}, ONES, train=train), ONES)


def test_classifier_answers_in_the_dtype_of_pooled_bfloat16_features():
    features = global_mean(jnp.ones((2, 3, 3, 4), jnp.bfloat16))
    model = Classifier(num_classes=5)

    logits = model.apply(model.init(KEY, features, train=False), features, train=False)

    assert features.dtype == logits.dtype == jnp.float32
    assert logits.shape == (2, 5)


@pytest.mark.parametrize("kernel", [1, 3])
def test_convolutions_start_as_in_he_et_al(kernel):
    """Normal, of variance 2 / (kernel area * output channels), not input channels."""
    model = ConvNorm(400, kernel)
    params = model.init(KEY, jnp.zeros((1, 4, 4, 100)), train=False, where=None)["params"]

    drawn = np.asarray(params["conv"]["kernel"])
    assert drawn.mean() == pytest.approx(0, abs=1e-3)
    assert drawn.std() == pytest.approx((2 / (kernel**2 * 400)) ** 0.5, rel=0.02)


@pytest.mark.parametrize("side", [7, 8, 14])
@pytest.mark.parametrize(("stride", "pads"), [(1, (1, 1)), (2, (1, 1)), (2, (0, 1))])
def test_max_pool_is_the_maximum_over_each_window(side, stride, pads):
    x = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)

    def windowed(x):
        return nn.max_pool(x, (3, 3), (stride, stride), (pads, pads))

    def slope(pool):
        return jax.grad(lambda x: jnp.sum(pool(x) ** 2))(jnp.asarray(x))

    ours = partial(max_pool, stride=stride, pads=pads)
    np.testing.assert_array_equal(ours(jnp.asarray(x)), windowed(jnp.asarray(x)))
    np.testing.assert_allclose(slope(ours), slope(windowed), rtol=1e-5)


@pytest.mark.parametrize(("side", "pooled"), [(112, 56), (56, 28), (7, 3), (8, 4)])
def test_overhanging_pool_has_the_sizes_of_caffe(side, pooled):
    assert max_pool(jnp.zeros((1, side, side, 1)), 2, (0, 1)).shape == (1, pooled, pooled, 1)


@pytest.mark.parametrize(
    ("x", "error", "message"),
    [
        (jnp.zeros((2, 32, 32, 3), jnp.uint8), TypeError, "floating inputs .* got uint8"),
        (jnp.zeros((2, 32, 32)), ValueError, r"\[B, H, W, C\], got shape \(2, 32, 32\)"),
        (jnp.zeros((2, 32, 8, 3)), ValueError, "at least 16x16.* got 32x8"),
        (jnp.zeros((2, 32, 20, 3)), ValueError, "multiples of 16, got 32x20"),
    ],
)
def test_refused_inputs_are_named(x, error, message):
    with pytest.raises(error, match=f"net takes .*{message}"):
        check_images("net", x, min_size=16, multiple=16)


def test_both_sides_are_at_least_the_smallest():
    check_images("net", jnp.zeros((2, 16, 16, 3)), min_size=16)
    with pytest.raises(ValueError, match="at least 16x16, got 32x8"):
        check_images("net", jnp.zeros((2, 32, 8, 3)), min_size=16)
