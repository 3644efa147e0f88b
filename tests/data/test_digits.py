"""The digits, whole and split as documented."""

import numpy as np

from dm_jax import data


def test_digits_are_whole_scaled_and_split_by_class():
    digits = data.load("digits")
    assert (len(digits.train), len(digits.test)) == (1438, 359)
    assert digits.num_classes == 10
    assert digits.train.inputs.shape[1:] == (8, 8, 1)
    assert np.unique(digits.train.inputs).tolist() == [round(v * 255 / 16) for v in range(17)]
    np.testing.assert_allclose(np.bincount(digits.test.labels), 36, atol=1)


def test_every_image_is_in_exactly_one_split():
    from sklearn.datasets import load_digits

    digits = data.load("digits")
    both = np.concatenate([digits.train.inputs, digits.test.inputs])
    original = np.round(load_digits().images * (255 / 16)).astype(np.uint8)
    assert sorted(x.tobytes() for x in both) == sorted(x.tobytes() for x in original)


def test_statistics_are_those_of_the_training_images():
    digits = data.load("digits")
    scaled = digits.train.inputs / 255.0
    np.testing.assert_allclose(digits.mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(digits.std, scaled.std(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose([digits.mean[0], digits.std[0]], [0.3048, 0.3756], atol=5e-5)
