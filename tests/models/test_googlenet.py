"""Local response normalisation by its formula, and where the auxiliary logits go."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import models
from dm_jax.models.googlenet import AuxiliaryHead, ConvBias, local_response_norm

IMAGES = jax.ShapeDtypeStruct((2, 32, 32, 3), jnp.float32)


def test_local_response_norm_is_its_formula():
    x = 50 * np.random.default_rng(0).normal(size=(2, 3, 3, 7)).astype(np.float32)
    squares = np.pad(np.float64(x) ** 2, ((0, 0), (0, 0), (0, 0), (2, 2)))
    sums = sum(squares[..., shift : shift + 7] for shift in range(5))

    np.testing.assert_allclose(
        local_response_norm(jnp.asarray(x)), x / (1 + 1e-4 / 5 * sums) ** 0.75, rtol=1e-5
    )


def test_local_response_norm_of_half_precision_rounds_only_once():
    x = 50 * jax.random.normal(jax.random.key(0), (2, 3, 3, 7), jnp.bfloat16)

    normalised = local_response_norm(x)

    assert normalised.dtype == jnp.bfloat16
    np.testing.assert_array_equal(
        normalised, local_response_norm(x.astype("float32")).astype("bfloat16")
    )


def test_an_auxiliary_head_is_its_formula_and_drops_seven_tenths_of_its_units():
    random = np.random.default_rng(0)
    x = random.normal(size=(2, 8, 8, 16)).astype(np.float32)
    head = AuxiliaryHead(1024, partial(ConvBias, dtype=jnp.float32), None, jnp.float32)
    init = partial(head.init, train=False, where=None)
    shapes = jax.eval_shape(init, jax.random.key(0), x)["params"]
    params = jax.tree.map(lambda leaf: random.normal(0, 0.1, leaf.shape).astype("f"), shapes)
    # So that its logits are its hidden units, after the dropout.
    params["classifier"]["dense"] = {"kernel": np.eye(1024, dtype="f"), "bias": np.zeros(1024, "f")}

    units = head.apply({"params": params}, x, False, None)
    kept = head.apply({"params": params}, x, True, None, rngs={"dropout": jax.random.key(1)})

    pooled = [x[:, r : r + 5, c : c + 5].mean((1, 2)) for r in (0, 3) for c in (0, 3)]
    conv, hidden = params["conv"]["conv"], params["hidden"]
    y = np.maximum(np.stack(pooled, 1) @ conv["kernel"] + conv["bias"], 0).reshape(2, -1)
    expected = np.maximum(y @ hidden["kernel"] + hidden["bias"], 0)
    np.testing.assert_allclose(units, expected, atol=1e-5)
    dropped = np.asarray(kept == 0)[expected > 1e-4]
    assert dropped.mean() == pytest.approx(0.7, abs=0.06)
    np.testing.assert_allclose(kept, np.where(kept == 0, 0, units / 0.3), rtol=1e-5)


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


def test_maps_of_five_by_five_are_the_smallest_of_an_auxiliary_head():
    head = AuxiliaryHead(3, partial(ConvBias, dtype=jnp.float32), None, jnp.float32)

    def logits(height, width):
        init = partial(head.init_with_output, train=False, where=None)
        return jax.eval_shape(init, jax.random.key(0), jnp.zeros((2, height, width, 16)))[0]

    assert logits(5, 5).shape == (2, 3)
    for sides in ((5, 4), (4, 5)):
        with pytest.raises(ValueError, match="at least 5x5, got {}x{}".format(*sides)):
            logits(*sides)


def test_the_auxiliary_heads_drop_by_the_index_in_the_global_batch():
    """As the classifier does: each asks for the place of its part of the batch."""
    model = models.create("googlenet_32", num_classes=10, auxiliary=True, axis_name="data")
    variables = jax.eval_shape(model.init, jax.random.key(0), IMAGES)
    rngs = {"dropout": jax.random.key(1)}
    train = partial(model.apply, train=True, mutable=["batch_stats", "auxiliary"], rngs=rngs)
    program = jax.make_jaxpr(train, axis_env=[("data", 2)])(variables, IMAGES)
    assert str(program).count("= axis_index[") == 2


def _train(model, images):
    """Shapes of the logits and of all that a training pass may write."""
    variables = jax.eval_shape(model.init, jax.random.key(0), images)
    assert "auxiliary" not in variables

    def train(variables, images, key):
        mutable = ["batch_stats", "auxiliary"]
        return model.apply(variables, images, train=True, mutable=mutable, rngs={"dropout": key})

    return jax.eval_shape(train, variables, images, jax.random.key(1))
