"""The benchmark of data runs, on few and small images."""

import types

import pytest
from PIL import Image

from dm_jax.data import augment
from experiments.benchmarks import data


def test_rates_are_of_the_same_files(tmp_path, monkeypatch):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    paths = data.write_photographs(tmp_path, (64, 48), 3)
    assert [Image.open(path).size for path in paths] == [(48, 64)] * 3
    opened, read = [], []

    def open_image(path):
        opened.append(path.name)
        return Image.open(path)

    class Files(data.Files):
        def __getitem__(self, index):
            record = super().__getitem__(index)
            read.append(record.key)
            return record

    monkeypatch.setattr(data, "Image", types.SimpleNamespace(**vars(Image) | {"open": open_image}))
    monkeypatch.setattr(data, "Files", Files)
    plain, streamed = data.jpeg_rates((64, 48), images=5, rounds=1)
    assert plain > 0
    assert streamed > 0
    assert set(opened) == set(read) == {f"{number}.jpg" for number in range(5)}
    assert len(opened) == len(read)


def test_a_step_is_timed_with_and_without_augmentation(monkeypatch):
    traced = []

    def random_crop(*arguments):
        traced.append(arguments)
        return augment.random_crop(*arguments)

    monkeypatch.setattr(
        data, "augment", types.SimpleNamespace(**vars(augment) | {"random_crop": random_crop})
    )
    ready, whole = data.step_seconds("mlp", batch_size=2, rounds=1)
    assert ready > 0
    assert whole > 0
    assert len(traced) == 1  # compiled once, into one of the two
