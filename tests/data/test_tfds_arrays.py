"""Splits decoded into arrays, in the order of the ids, once; data sets made of them."""

import os
import shutil

import numpy as np
import pytest

from dm_jax import data
from dm_jax.data import tfds_arrays, tfds_builders


def test_examples_come_in_the_order_of_their_ids(tiny_cifar):
    builder = tfds_builders.open_prepared("tiny_cifar", tiny_cifar)
    written = [int(example["label"]) for example in builder.as_data_source("train")]
    columns = tfds_arrays.load_arrays(builder, "train", ["image", "label"])
    assert columns["image"].dtype == np.uint8
    np.testing.assert_array_equal(columns["image"][:, 0, 0, 0], np.arange(24))
    np.testing.assert_array_equal(columns["label"], np.arange(24) % 4)
    assert written != columns["label"].tolist(), "TFDS shuffles what it writes"


def test_decoded_once(tiny_cifar, monkeypatch):
    builder = tfds_builders.open_prepared("tiny_cifar", tiny_cifar)
    first = tfds_arrays.load_arrays(builder, "test", ["image"])
    monkeypatch.setattr(tfds_arrays, "_decode", lambda *args: pytest.fail("decoded again"))
    np.testing.assert_array_equal(
        first["image"], tfds_arrays.load_arrays(builder, "test", ["image"])["image"]
    )


def test_data_prepared_again_are_decoded_again(tiny_cifar, tmp_path, monkeypatch):
    """Also if the new files are as large as the old ones."""
    folder = shutil.copytree(tiny_cifar, tmp_path / "tfds")
    builder = tfds_builders.open_prepared("tiny_cifar", str(folder))
    tfds_arrays.load_arrays(builder, "test", ["label"])
    os.utime(builder.info.splits["test"].filepaths[0], (0, 0))
    monkeypatch.setattr(tfds_arrays, "_decode", lambda *args: {"label": np.array([7])})
    assert tfds_arrays.load_arrays(builder, "test", ["label"])["label"].tolist() == [7]


@pytest.mark.parametrize(
    ("split", "features", "message"),
    [
        ("validation", ["image"], "no split 'validation': train, test"),
        ("train", ["images"], "no feature 'images'"),
    ],
)
def test_what_is_not_there_is_named(tiny_cifar, split, features, message):
    builder = tfds_builders.open_prepared("tiny_cifar", tiny_cifar)
    with pytest.raises(ValueError, match=message):
        tfds_arrays.load_arrays(builder, split, features)


def test_images_of_different_sizes_are_to_be_streamed(tiny_photos):
    builder = tfds_builders.open_prepared("tiny_photos", tiny_photos)
    with pytest.raises(ValueError, match=r"differ in shape.*dm_jax\.data\.stream"):
        tfds_arrays.load_arrays(builder, "train", ["image"])


def test_any_prepared_image_set_loads_by_its_name(tiny_cifar):
    loaded = data.load("tfds:tiny_cifar", data_dir=tiny_cifar)
    assert loaded.name == "tfds:tiny_cifar"
    assert loaded.class_names == ("a", "b", "c", "d")
    assert (len(loaded.train), len(loaded.test)) == (24, 8)
