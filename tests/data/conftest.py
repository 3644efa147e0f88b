"""Small data sets that TFDS prepares for the tests, once in a session."""

import pathlib

import numpy as np
import pytest
from PIL import Image

from dm_jax import data


@pytest.fixture(autouse=True)
def _own_cache(request, monkeypatch, tmp_path):
    """Keeps caches of stand-ins apart from the user's; the real data keep their own."""
    if request.node.get_closest_marker("data") is None:
        monkeypatch.setenv("DM_JAX_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def load_real():
    """Loads a real data set; skips the test where it is not prepared."""
    pytest.importorskip("tensorflow_datasets", reason="TFDS is not installed")

    def load(name: str) -> data.Dataset:
        try:
            return data.load(name)
        except FileNotFoundError as error:
            pytest.skip(str(error))

    return load


@pytest.fixture(scope="session")
def tfds():
    """TFDS, where it can prepare data."""
    pytest.importorskip("tensorflow", reason="TensorFlow, which prepares data, is not installed")
    return pytest.importorskip("tensorflow_datasets", reason="TFDS is not installed")


@pytest.fixture(scope="session")
def tiny_cifar(tfds, tmp_path_factory) -> str:
    """A data_dir with "tiny_cifar": 24 and 8 images [8, 8, 3] of 4 classes in 2 superclasses.

    Image i of a split is i everywhere and of class i % 4; ids run against the order of writing.
    """

    class TinyCifar(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "id": tfds.features.Text(),
                "image": tfds.features.Image(shape=(8, 8, 3)),
                "label": tfds.features.ClassLabel(names=["a", "b", "c", "d"]),
                "coarse_label": tfds.features.ClassLabel(num_classes=2),
                "guess": tfds.features.ClassLabel(num_classes=4),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples(24), "test": self._generate_examples(8)}

        def _generate_examples(self, count):
            for i in range(count):
                yield (
                    i,
                    {
                        "id": f"{i:05d}",
                        "image": np.full((8, 8, 3), i, np.uint8),
                        "label": i % 4,
                        "coarse_label": i % 2,
                        "guess": (i + 1) % 4 if i < 6 else i % 4,
                    },
                )

    return prepared(TinyCifar, tmp_path_factory.mktemp("tfds"))


@pytest.fixture(scope="session")
def tiny_photos(tfds, tmp_path_factory) -> str:
    """A data_dir with "tiny_photos": 10 JPEGs of different sizes and keys, two classes."""
    files = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for i in range(10):
        pixels = rng.integers(0, 256, (20 + i, 30, 3), np.uint8)
        Image.fromarray(pixels).save(files / f"{i}.jpg")

    class TinyPhotos(tfds.core.GeneratorBasedBuilder):
        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            features = {
                "key": tfds.features.Text(),
                "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                "label": tfds.features.ClassLabel(num_classes=2),
            }
            return tfds.core.DatasetInfo(
                builder=self,
                features=tfds.features.FeaturesDict(features),
                supervised_keys=("image", "label"),
                disable_shuffling=True,
            )

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for i in range(10):
                yield i, {"key": f"{i}.jpg", "image": files / f"{i}.jpg", "label": i % 2}

    return prepared(TinyPhotos, tmp_path_factory.mktemp("tfds"))


def prepared(builder_class, data_dir: pathlib.Path) -> str:
    builder_class(data_dir=data_dir, file_format="array_record").download_and_prepare()
    return str(data_dir)
