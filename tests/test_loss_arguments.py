"""Bad arguments of the loss are named."""

import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import CCE, MAE, dm_softmax_cross_entropy

LOGITS = np.zeros((4, 3), np.float32)
LABELS = np.zeros(4, np.int32)


@pytest.mark.parametrize("number", [np.float32, jnp.float32])
def test_a_saturation_may_be_a_scalar_of_numpy_or_jax(number):
    logits, labels = jnp.array([[2.0, 0.0]]), np.array([0])
    found = dm_softmax_cross_entropy(logits, labels, CCE(), saturation=number(1e-6))
    np.testing.assert_array_equal(found, dm_softmax_cross_entropy(logits, labels, CCE()))


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"labels": np.zeros(5, np.int32)}, ValueError, r"labels.*\(4,\).*\(5,\)"),
        ({"labels": np.zeros(4, np.float32)}, TypeError, "labels.*integers.*float32"),
        ({"logits": np.zeros((4, 3), np.int32)}, TypeError, "logits.*floating.*int32"),
        ({"logits": np.zeros((4, 1), np.float32)}, ValueError, "C >= 2"),
        ({"logits": np.float32(1)}, ValueError, "logits"),
        ({"edf": "dm"}, TypeError, "edf.*'dm'"),
        ({"edf": MAE}, TypeError, r"an instance, such as MAE\(...\), got the class"),
        ({"labels": None}, TypeError, "labels must be an array, got NoneType"),
        ({"normalization": "None"}, ValueError, "must be 'batch', 'density' or None, got 'None'"),
        ({"normalization": jnp.ones(2)}, ValueError, "must be 'batch', 'density' or None, got Arr"),
        ({"saturation": -1e-6}, ValueError, "saturation.*-1e-06"),
        ({"saturation": float("nan")}, ValueError, "saturation.*nan"),
        ({"saturation": jnp.ones(1)}, ValueError, "saturation.*finite number"),
        ({"saturation": float("inf")}, ValueError, "saturation.*inf"),
        ({"where": np.ones(3, bool)}, ValueError, r"where.*\(4,\).*\(3,\)"),
        ({"where": np.ones(4, np.float32)}, TypeError, "where.*bool.*float32"),
        ({"class_weights": np.ones(4, np.float32)}, ValueError, r"class_weights.*\(3,\).*\(4,\)"),
        ({"class_weights": np.ones(3, bool)}, TypeError, "class_weights.*numbers.*bool"),
        ({"class_weights": np.float32([1, -1, 1])}, ValueError, "at least 0, got -1.0 for class 1"),
    ],
)
def test_bad_input_is_named(changes, error, words):
    arguments = {"logits": LOGITS, "labels": LABELS, "edf": MAE()} | changes
    with pytest.raises(error, match=words):
        dm_softmax_cross_entropy(**arguments)
