"""Instance-dependent noise: its rates, that features decide, and that arithmetic is exact."""

import numpy as np
import pytest

from dm_jax import noise
from dm_jax.noise.instance_dependent import _choose, _flip_rates, _project

GRID = (np.arange(20_000) + 0.5) / 20_000
LABELS = np.arange(6000) % 10
IMAGES = np.random.default_rng(0).integers(0, 256, (6000, 6, 6, 3), dtype=np.uint8)


def corrupt(rate=0.4, inputs=IMAGES, seed=1):
    return noise.corrupt(
        LABELS, num_classes=10, kind="instance", rate=rate, seed=seed, inputs=inputs
    )


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.1, 0.2, 0.5, 0.95, 1.0])
def test_flip_rates_have_the_mean_asked_for(rate):
    rates = _flip_rates(rate, GRID)
    assert rates.min() >= 0
    assert rates.max() <= 1
    np.testing.assert_allclose(rates.mean(), rate, atol=1e-6)


def test_flip_rates_are_normal_with_deviation_a_tenth_where_nothing_is_cut():
    rates = _flip_rates(0.5, GRID)
    np.testing.assert_allclose(rates.std(), 0.1, rtol=1e-3)
    np.testing.assert_allclose(np.mean(rates < 0.4), 0.158655, atol=1e-4)


@pytest.mark.parametrize("rate", [0.1, 0.4, 1.0])
def test_true_noise_rate_is_the_rate(rate):
    assert abs(corrupt(rate).actual_rate - rate) <= 4 * np.sqrt(rate * (1 - rate) / LABELS.size)


def test_alike_examples_get_alike_labels():
    """All images of a class the same: nearly all flips of a class go to one class."""
    same = np.broadcast_to(IMAGES[:1], IMAGES.shape)
    matrix = noise.transition_matrix(LABELS, corrupt(1.0, same).labels, 10)
    assert np.median(matrix.max(axis=1)) > 0.9
    assert matrix.diagonal().max() == 0.0


def test_features_decide_the_label():
    mirrored = IMAGES[:, :, ::-1]
    one, other = corrupt(1.0), corrupt(1.0, mirrored)
    assert np.mean(one.labels != other.labels) > 0.3


def test_choice_follows_the_softmax_over_the_other_classes():
    logits = np.broadcast_to(np.log([1.0, 5.0, 2.0, 1.0]), (GRID.size, 4))
    shares = np.bincount(_choose(logits, 1, GRID), minlength=4) / GRID.size
    np.testing.assert_allclose(shares, [0.25, 0.0, 0.5, 0.25], atol=1e-4)


def test_choice_survives_extreme_logits_and_uniforms():
    logits = np.array([[1e4, -1e4, 0.0], [-1e4, 1e4, 0.0], [0.0, 0.0, 1e300]])
    chosen = _choose(logits, 2, np.array([0.0, 1 - 2**-53, 1 - 2**-53]))
    assert chosen.tolist() == [0, 1, 1]
    assert _choose(np.zeros((1, 3)), 0, np.zeros(1)).tolist() == [1]


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_projection_does_not_depend_on_the_order_of_summation(dtype):
    rng = np.random.default_rng(0)
    features = IMAGES.reshape(6000, -1)[:50].astype(dtype)
    if dtype == np.float32:
        features = features / np.float32(255)
    projection = np.round(rng.standard_normal((108, 10)) * 2**16) / 2**16
    shuffle = rng.permutation(108)
    np.testing.assert_array_equal(
        _project(features, projection), _project(features[:, shuffle], projection[shuffle])
    )


@pytest.mark.parametrize(
    ("inputs", "error", "message"),
    [
        (None, ValueError, "needs inputs, got none"),
        (
            IMAGES[1:],
            ValueError,
            r"inputs must be \[6000, .*, got \[5999",
        ),
        (IMAGES[:, 0, 0, 0], ValueError, r"one row for each label, got \[6000\]"),
        (IMAGES.astype(np.int64), TypeError, "uint8 images or float features, got int64"),
        (np.where(np.arange(6000) == 7, np.nan, 1.0)[:, None], ValueError, "finite, row 7 is not"),
    ],
)
def test_bad_inputs_are_named(inputs, error, message):
    with pytest.raises(error, match=message):
        corrupt(inputs=inputs)
