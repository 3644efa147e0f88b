"""The networks' convolution and its derivatives are XLA's, in parts on a CPU, whole elsewhere."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from dm_jax.models.convolution import conv_general_dilated

NHWC = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}


def _operands(batch: int, dtype=jnp.float64) -> tuple[jax.Array, jax.Array]:
    draws = np.random.default_rng(batch)
    images = draws.normal(size=(batch, 6, 6, 3))
    return jnp.asarray(images, dtype), jnp.asarray(draws.normal(size=(3, 3, 3, 4)), dtype)


def _loss(convolution, stride: int = 1):
    def loss(images, kernel):
        output = convolution(images, kernel, (stride, stride), ((1, 1), (1, 1)), **NHWC)
        return jnp.sin(output).sum()

    return loss


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("batch", [1, 16, 17, 40, 250, 256])
def test_gradients_are_those_of_xla(batch, stride):
    with jax.enable_x64():
        operands = _operands(batch)
        expected = jax.grad(_loss(lax.conv_general_dilated, stride), (0, 1))(*operands)
        found = jax.grad(_loss(conv_general_dilated, stride), (0, 1))(*operands)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-11, atol=1e-11)


def test_parts_of_a_bfloat16_batch_are_added_in_float32():
    images, kernel = _operands(256, jnp.bfloat16)
    found = jax.grad(_loss(conv_general_dilated), 1)(images, kernel)
    wide = (images.astype(jnp.float32), kernel.astype(jnp.float32))
    expected = jax.grad(_loss(lax.conv_general_dilated), 1)(*wide)
    assert found.dtype == jnp.bfloat16
    error = jnp.linalg.norm((found - expected).ravel()) / jnp.linalg.norm(expected.ravel())
    assert error < 0.02


def test_second_derivatives():
    def squares(convolution):
        gradient = jax.grad(_loss(convolution), 1)
        return jax.grad(lambda images, kernel: jnp.square(gradient(images, kernel)).sum(), (0, 1))

    with jax.enable_x64():
        operands = _operands(24)
        expected = squares(lax.conv_general_dilated)(*operands)
        found = squares(conv_general_dilated)(*operands)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_over_a_population():
    images, kernel = _operands(32, jnp.float32)
    kernels = jnp.stack([kernel, 2 * kernel])
    found = jax.vmap(jax.grad(_loss(conv_general_dilated), 1), (None, 0))(images, kernels)
    for ours, one in zip(found, kernels, strict=True):
        expected = jax.grad(_loss(lax.conv_general_dilated), 1)(images, one)
        np.testing.assert_allclose(ours, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(("platform", "convolutions"), [("cpu", 1 + 16), ("cuda", 2), ("tpu", 2)])
def test_only_a_cpu_has_parts(platform, convolutions):
    gradient = jax.jit(jax.grad(_loss(conv_general_dilated), 1))
    lowered = gradient.trace(*_operands(256, jnp.float32)).lower(lowering_platforms=(platform,))
    assert len(re.findall(r"stablehlo\.convolution", lowered.as_text())) == convolutions
