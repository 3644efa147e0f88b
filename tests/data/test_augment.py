"""Augmentation against a NumPy loop, exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dm_jax.data import augment


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 9, 7, 3), np.uint8)


@pytest.fixture
def keys():
    return augment.example_keys(jax.random.key(3), 0, 40)


@pytest.mark.parametrize("padding", [0, 1, 4])
def test_crop_is_the_numpy_loop(images, keys, padding):
    cropped = np.asarray(
        jax.jit(augment.random_crop, static_argnames="padding")(images, keys, padding=padding)
    )
    assert cropped.dtype == np.uint8
    for image, key, result in zip(images, keys, cropped, strict=True):
        offset = jax.random.randint(jax.random.fold_in(key, 0), (2,), 0, 2 * padding + 1)
        row, column = np.asarray(offset)
        padded = np.zeros((9 + 2 * padding, 7 + 2 * padding, 3), np.uint8)
        padded[padding : padding + 9, padding : padding + 7] = image
        np.testing.assert_array_equal(result, padded[row : row + 9, column : column + 7])


def test_flip_is_the_numpy_loop(images, keys):
    flipped = np.asarray(jax.jit(augment.random_flip)(images, keys))
    mirrored = 0
    for image, key, result in zip(images, keys, flipped, strict=True):
        flip = bool(jax.random.bernoulli(jax.random.fold_in(key, 1)))
        mirrored += flip
        np.testing.assert_array_equal(result, image[:, ::-1] if flip else image)
    assert 0 < mirrored < len(images)


def test_every_offset_and_both_sides_are_equally_likely():
    count = 20_000
    keys = augment.example_keys(jax.random.key(0), 0, count)
    # A single lit pixel in the middle of a black image tells the offset and the flip.
    lit = jnp.zeros((count, 5, 5, 1), jnp.uint8).at[:, 2, 2].set(1)
    cropped = np.asarray(augment.random_crop(lit, keys, padding=2))
    place = cropped.reshape(count, -1).argmax(axis=1)
    assert np.all(cropped.sum(axis=(1, 2, 3)) == 1)
    np.testing.assert_allclose(np.bincount(place, minlength=25) / count, 1 / 25, atol=0.006)
    left = jnp.zeros((count, 1, 2, 1), jnp.uint8).at[:, 0, 0].set(1)
    stayed = np.asarray(augment.random_flip(left, keys))[:, 0, 0, 0]
    assert abs(stayed.mean() - 0.5) < 0.015
    # The two draws of one key are independent.
    assert abs(np.corrcoef(stayed, place // 5)[0, 1]) < 0.03


def test_any_sharding_draws_the_same(images, keys):
    mesh = Mesh(np.array(jax.devices()), ("data",))

    @jax.jit
    def step(images, key):
        keys = augment.example_keys(key, 0, 40)
        return augment.random_flip(augment.random_crop(images, keys), keys)

    whole = step(images, jax.random.key(3))
    sharded = step(
        jax.device_put(images, NamedSharding(mesh, PartitionSpec("data"))), jax.random.key(3)
    )
    np.testing.assert_array_equal(whole, sharded)
    part_keys = augment.example_keys(jax.random.key(3), jnp.int32(16), 8)
    part = augment.random_flip(augment.random_crop(images[16:24], part_keys), part_keys)
    np.testing.assert_array_equal(whole[16:24], part)


def test_normalize_scales_bytes_and_takes_features_as_they_are(images):
    mean, std = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.2, 0.3, 0.4], np.float32)
    expected = (images / 255.0 - mean) / std
    np.testing.assert_allclose(augment.normalize(images, mean, std), expected, rtol=1e-5, atol=1e-6)
    assert augment.normalize(images, mean, std).dtype == jnp.float32
    half = augment.normalize(images, mean, std, jnp.bfloat16)
    assert half.dtype == jnp.bfloat16
    np.testing.assert_array_equal(half, augment.normalize(images, mean, std).astype(jnp.bfloat16))
    features = np.random.default_rng(1).normal(size=(4, 3)).astype(np.float32)
    np.testing.assert_array_equal(augment.normalize(features, np.zeros(3), np.ones(3)), features)
