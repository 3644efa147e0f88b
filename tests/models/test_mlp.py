"""The perceptron is its formula, flattens what it gets, and starts as in Caffe."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import models

X = jax.random.normal(jax.random.key(1), (4, 3, 5))


def test_outputs_are_the_formula():
    model = models.create("mlp", num_classes=2, hidden=(6, 8))
    params = model.init(jax.random.key(0), X)["params"]

    logits, features = model.apply({"params": params}, X, features=True)

    params = jax.tree.map(np.asarray, params)
    hidden = np.asarray(X).reshape(4, 15)
    for layer in ("Dense_0", "Dense_1"):
        hidden = np.maximum(hidden @ params[layer]["kernel"] + params[layer]["bias"], 0)
    dense = params["classifier"]["dense"]
    np.testing.assert_allclose(features, hidden, atol=1e-5)
    np.testing.assert_allclose(logits, hidden @ dense["kernel"] + dense["bias"], atol=1e-5)


def test_a_size_is_no_tuple_of_sizes():
    with pytest.raises(TypeError, match=r"hidden takes a tuple of sizes, such as \(8,\), got 8"):
        models.create("mlp", num_classes=2, hidden=8)


def test_no_hidden_layer_is_a_linear_classifier():
    params = models.create("mlp", num_classes=2, hidden=()).init(jax.random.key(0), X)["params"]

    assert params.keys() == {"classifier"}


@pytest.mark.parametrize("layer", ["hidden", "classifier"])
def test_weights_are_those_of_caffes_xavier_filler(layer):
    model = models.create("mlp", num_classes=300, hidden=(400,))
    params = model.init(jax.random.key(0), jnp.zeros((1, 500)))["params"]
    dense = params["Dense_0"] if layer == "hidden" else params["classifier"]["dense"]

    limit = (3 / dense["kernel"].shape[0]) ** 0.5
    assert np.abs(dense["kernel"]).max() == pytest.approx(limit, rel=1e-3)
    assert np.std(dense["kernel"]) == pytest.approx(limit / 3**0.5, rel=0.02)
    assert not dense["bias"].any()


def test_integer_features_are_refused():
    with pytest.raises(TypeError, match=r"MLP takes floating inputs .* got int32"):
        models.create("mlp", num_classes=2).init(jax.random.key(0), jnp.zeros((2, 3), jnp.int32))
