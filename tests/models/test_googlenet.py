"""Local response normalisation by its formula, and where the auxiliary logits go."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import models
from dm_jax.models.googlenet import local_response_norm

IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)


def test_local_response_norm_is_its_formula():
    x = 50 * np.random.default_rng(0).normal(size=(2, 3, 3, 7)).astype(np.float32)
    squares = np.pad(np.float64(x) ** 2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    sums = sum(squares[..., shift : shift + 7] for shift in range(5))

    np.testing.assert_allclose(
        local_response_norm(jnp.asarray(x)), x / (1 + 1e-4 / 5 * sums) ** 0.75, rtol=1e-5
    )


@pytest.mark.parametrize("name", ["googlenet", "googlenet_32"])
def test_auxiliary_logits_are_a_collection_while_training(name):
    images = jax.ShapeDtypeStruct((2, 224, 224, 3), jnp.float32) if name == "googlenet" else IMAGES
    _, updated = _train(models.create(name, num_classes=10, auxiliary=True), images)

    assert updated["auxiliary"].keys() == {"4a", "4d"}
    for (logits,) in updated["auxiliary"].values():
        assert logits.shape == (2, 10)


def test_who_does_not_ask_for_auxiliary_logits_gets_none():
    _, updated = _train(models.create("googlenet_32", num_classes=10), IMAGES)

    assert "auxiliary" not in updated


def test_auxiliary_heads_need_maps_that_their_pool_fits():
    model = models.create("googlenet_32", num_classes=10, auxiliary=True)

    with pytest.raises(ValueError, match=r"at least 5x5, got 4x4.*auxiliary=False"):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros((2, 8, 8, 3)))


def _train(model, images):
    """Shapes of the logits and of all that a training pass may write."""
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    assert "auxiliary" not in variables

    def train(variables, images, key):
        mutable = ["batch_stats", "auxiliary"]
        return model.apply(variables, images, train=True, mutable=mutable, rngs={"dropout": key})

    return jax.eval_shape(train, variables, images, jax.random.key(1))
