"""The program of a bfloat16 training step of ResNet-44, as handed to the compiler for a GPU."""

import re

import jax
import jax.numpy as jnp
import pytest

from dm_jax import models


@pytest.fixture(scope="module")
def program():
    """StableHLO of loss and gradient at batch 256."""
    model = models.create("resnet44", num_classes=100, dtype=jnp.bfloat16, dropout=0.2)
    images = jax.ShapeDtypeStruct((256, 32, 32, 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), images)

    def loss(params, batch_stats, images):
        logits, updated = model.apply(
            {"params": params, "batch_stats": batch_stats},
            images,
            train=True,
            rngs={"dropout": jax.random.key(0)},
            mutable=["batch_stats"],
        )
        return jax.nn.logsumexp(logits, axis=-1).mean(), updated

    step = jax.jit(jax.value_and_grad(loss, has_aux=True))
    traced = step.trace(variables["params"], variables["batch_stats"], images)
    return traced.lower(lowering_platforms=("cuda",)).as_text()


def test_every_convolution_is_bfloat16(program):
    convolutions = re.findall(r"stablehlo\.convolution.*", program)

    # 43 forward, 43 by kernel and, the images having no gradient, 42 by input.
    assert len(convolutions) == 43 + 43 + 42
    assert not [line for line in convolutions if "f32" in line]


def test_no_image_is_transposed(program):
    transposed = re.findall(r"stablehlo\.transpose.*: \(tensor<(.*?)>\)", program)

    assert [shape for shape in transposed if shape.count("x") > 2] == []
