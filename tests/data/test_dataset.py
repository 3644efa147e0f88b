"""What a data set checks of itself."""

import dataclasses
import warnings

import numpy as np
import pytest

from dm_jax.data.dataset import Dataset, Split, image_statistics


def small(**changes):
    split = Split(np.zeros((3, 2), np.float32), np.array([0, 1, 1], np.int32))
    values = {
        "name": "small",
        "train": split,
        "test": split,
        "class_names": ("a", "b"),
    }
    return Dataset(**{**values, **changes})


@pytest.mark.parametrize(
    ("inputs", "labels", "error", "message"),
    [
        (np.zeros((2, 3)), np.zeros(2, np.int32), TypeError, "float64"),
        (np.zeros((2, 3), np.float32), np.zeros(2, np.int64), TypeError, "int64"),
        (np.zeros((2, 3), np.float32), np.zeros(3, np.int32), ValueError, r"\(2,\)"),
        (np.zeros((2, 3), np.uint8), np.zeros(2, np.int32), ValueError, r"\(2, 3\)"),
        (np.full((2, 3), np.inf, np.float32), np.zeros(2, np.int32), ValueError, "finite"),
        ([[1.0]], np.zeros(1, np.int32), TypeError, "inputs must be a NumPy array, got list"),
        (np.zeros((1, 3), np.float32), [0], TypeError, "labels must be a NumPy array, got list"),
    ],
)
def test_a_split_that_cannot_be(inputs, labels, error, message):
    with pytest.raises(error, match=message):
        Split(inputs, labels)


def test_images_with_their_channels_first_are_warned_of():
    with pytest.warns(UserWarning, match=r"\(2, 3, 8, 8\).*transpose\(0, 2, 3, 1\)"):
        Split(np.zeros((2, 3, 8, 8), np.uint8), np.zeros(2, np.int32))


@pytest.mark.parametrize("shape", [(2, 8, 8, 3), (2, 3, 3, 3), (2, 1, 8, 1), (2, 8, 8, 12)])
def test_other_images_are_not(shape):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        Split(np.zeros(shape, np.uint8), np.zeros(2, np.int32))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train": (np.zeros((3, 2)), [0, 1, 1])}, "train must be a data.Split, got tuple"),
        ({"class_names": "ab"}, "class_names must be a tuple of strings, got 'ab'"),
        ({"class_names": (1, 2)}, r"class_names must be a tuple of strings, got \(1, 2\)"),
        ({"class_names": ("a",)}, "train labels: row 1 is 1"),
        ({"superclasses": np.zeros(3, np.int32)}, r"superclasses must have shape \(2,\)"),
        ({"superclasses": np.array([0, 7])}, "superclasses: row 1 is 7"),
        ({"superclasses": np.array([0.0, 1.0])}, "superclasses must be integers, got float64"),
        ({"superclasses": [0, 1]}, "superclasses must be a NumPy array, got list"),
        ({"human_labels": {"worst": [0, 1, 1]}}, "'worst' must be a NumPy array, got list"),
        (
            {"test": Split(np.zeros((1, 5), np.float32), np.zeros(1, np.int32))},
            r"same dtype and shape, got float32 \[2\] and float32 \[5\]",
        ),
        ({"human_labels": {"worst": np.array([0, 1, 2], np.int32)}}, "'worst': row 2 is 2"),
        ({"human_labels": {"worst": np.array([0, 1], np.int32)}}, r"'worst' must have shape"),
    ],
)
def test_a_data_set_that_cannot_be(changes, message):
    with pytest.raises((TypeError, ValueError), match=message):
        small(**changes)


def test_class_names_may_be_an_array():
    assert small(class_names=np.array(["a", "b"])).num_classes == 2


def test_the_fingerprint_tells_data_apart_and_nothing_else():
    fingerprint = small().fingerprint
    assert small(name="other").fingerprint == fingerprint
    for part in ("inputs", "labels"):
        changed = getattr(small().train, part).copy()
        changed[0] = 1
        other = dataclasses.replace(small().train, **{part: changed})
        assert small(train=other).fingerprint != fingerprint
        assert small(test=other).fingerprint != fingerprint


def test_statistics_are_exact_and_a_constant_channel_stays_constant():
    images = np.random.default_rng(0).integers(0, 256, (9, 6, 5, 2), np.uint8)
    images[..., 1] = 7
    mean, std = image_statistics(images)
    np.testing.assert_allclose(mean, (images / 255).mean(axis=(0, 1, 2)), rtol=1e-6)
    np.testing.assert_allclose(std, [(images[..., 0] / 255).std(), 1], rtol=1e-6)
    assert mean.dtype == std.dtype == np.float32
