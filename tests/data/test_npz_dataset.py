"""Custom arrays: what loads, and how bad input is named."""

import numpy as np
import pytest

from dm_jax import data


@pytest.fixture
def arrays():
    rng = np.random.default_rng(0)
    return {
        "x_train": rng.integers(0, 256, (6, 5, 4, 3), np.uint8),
        "y_train": np.array([0, 1, 2, 0, 1, 2]),
        "x_test": rng.integers(0, 256, (2, 5, 4, 3), np.uint8),
        "y_test": np.array([2, 0], np.uint8),
    }


def load(tmp_path, arrays):
    np.savez(tmp_path / "own.npz", **arrays)
    return data.load(f"npz:{tmp_path / 'own.npz'}")


def test_images(tmp_path, arrays):
    own = load(tmp_path, arrays)
    np.testing.assert_array_equal(own.train.inputs, arrays["x_train"])
    assert own.test.labels.tolist() == [2, 0]
    assert own.class_names == ("0", "1", "2")
    scaled = arrays["x_train"] / 255
    np.testing.assert_allclose(own.mean, scaled.mean(axis=(0, 1, 2)), rtol=1e-5)
    assert own.name == f"npz:{tmp_path / 'own.npz'}"


def test_grey_images_get_a_channel(tmp_path, arrays):
    grey = {name: a[..., 0] if a.ndim == 4 else a for name, a in arrays.items()}
    assert load(tmp_path, grey).train.inputs.shape == (6, 5, 4, 1)


def test_features_are_used_as_they_are(tmp_path, arrays):
    features = np.random.default_rng(1).normal(size=(6, 7))
    own = load(tmp_path, {**arrays, "x_train": features, "x_test": features[:2]})
    np.testing.assert_array_equal(own.train.inputs, features.astype(np.float32))
    assert own.mean.tolist() == [0] * 7
    assert own.std.tolist() == [1] * 7


def test_a_class_may_be_in_the_test_set_alone(tmp_path, arrays):
    own = load(tmp_path, {**arrays, "y_train": np.array([0, 2, 2, 0, 2, 2]), "y_test": [1, 0]})
    assert own.num_classes == 3


def test_a_relative_path_starts_at_data_dir(tmp_path, arrays):
    load(tmp_path, arrays)
    assert len(data.load("npz:own.npz", data_dir=str(tmp_path)).train) == 6


def test_a_tilde_is_the_home_wherever_data_dir_is(tmp_path, arrays, monkeypatch):
    load(tmp_path, arrays)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert len(data.load("npz:~/own.npz", data_dir="/elsewhere").train) == 6
    assert len(data.load("npz:own.npz", data_dir="~").train) == 6


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"y_test": None}, "lacks the arrays: y_test"),
        ({"x_train": np.zeros((6, 5, 4, 3))}, "x_train of .* must be uint8 images.*float64"),
        ({"x_train": np.zeros(6, np.uint8)}, r"x_train of .* must be uint8 images.*\[6\]"),
        ({"x_test": np.zeros((2, 4, 4, 3), np.uint8)}, r"uint8 \[5, 4, 3\] and uint8 \[4, 4, 3\]"),
        ({"y_train": np.zeros(5, int)}, r"x_train of .*npz has 6 inputs, y_train 5 labels"),
        ({"y_train": np.zeros((6, 1), int)}, r"y_train must have shape \[n\]"),
        ({"y_train": np.zeros(0, int)}, "y_train of .* is empty"),
        ({"y_train": np.array([0, 1, 2, 0.5, 1, 2])}, r"y_train: row 3 is 0\.5"),
        ({"y_train": np.array([0, 1, 2, -1, 1, 2])}, "y_train: row 3 is -1"),
        ({"y_train": np.array([0, 1, np.nan, 0, 1, 2])}, "y_train: row 2 is nan"),
        ({"y_train": np.array([0, 1, np.inf, 0, 1, 2])}, "y_train: row 2 is inf"),
        ({"y_train": np.array([0, 1, 10**12, 0, 1, 2])}, "y_train: row 2 is 1000000000000"),
        ({"y_test": np.array([0, 3])}, "y_test: row 1 is 3; accepted: whole numbers from 0 to 2"),
        ({"y_test": np.array([0, np.nan])}, "y_test: row 1 is nan"),
        (
            {"x_train": np.full((6, 2), np.nan), "x_test": np.zeros((2, 2))},
            r"x_train of .*\.npz must be finite, row 0 is not",
        ),
        ({"y_test": np.array([0])}, r"x_test of .*\.npz has 2 inputs, y_test 1 labels"),
        ({"x_train": np.zeros((6, 0, 4, 1), np.uint8)}, r"axis of size 0, got \[6, 0, 4, 1\]"),
        ({"x_train": np.array([{}] * 6, object)}, "holds arrays of Python objects"),
        ({"y_train": np.array([1, 2, 3, 1, 2, 3])}, "y_train of .* starts at 1; classes"),
        (
            {"y_train": np.array([0, 1, 3, 0, 1, 3]), "y_test": np.array([0, 1])},
            r"npz has no example of class 2, but .* up to 3",
        ),
        (
            {"x_train": np.full((6, 2), 1e300), "x_test": np.zeros((2, 2))},
            "as float32 must be finite",
        ),
        (
            {"y_train": np.array([0, 1, 2, 0, 1, 2]), "y_test": np.array([0, 9])},
            "y_test: row 1 is 9",
        ),
        ({"y_train": np.zeros(6, int)}, "y_train of .* must have 2 classes or more, got only 0"),
    ],
)
def test_bad_arrays_are_named(tmp_path, arrays, change, message):
    merged = {**arrays, **change}
    with pytest.raises(ValueError, match=message):
        load(tmp_path, {name: array for name, array in merged.items() if array is not None})


def test_labels_that_are_no_numbers_are_named(tmp_path, arrays):
    with pytest.raises(TypeError, match="y_train must be numbers"):
        load(tmp_path, {**arrays, "y_train": np.array(list("abcabc"))})


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError, match=rf"there is no file {tmp_path}/missing\.npz"):
        data.load(f"npz:{tmp_path}/missing.npz")
