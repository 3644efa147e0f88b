"""CIFAR and its vehicles: a stand-in always, the real data where they lie."""

import numpy as np
import pytest

from dm_jax.data import cifar
from dm_jax.data.dataset import Dataset, Split


def test_superclasses_and_human_labels_come_along(tiny_cifar):
    loaded = cifar.load("tiny_cifar", tiny_cifar, human_features={"guessed": "guess"})
    assert loaded.class_names == ("a", "b", "c", "d")
    assert loaded.superclasses.tolist() == [0, 1, 0, 1]
    np.testing.assert_array_equal(loaded.test.labels, np.arange(8) % 4)
    differ = loaded.human_labels["guessed"] != loaded.train.labels
    assert differ.tolist() == [True] * 6 + [False] * 18
    np.testing.assert_allclose(loaded.mean, np.arange(24).mean() / 255, rtol=1e-6)
    np.testing.assert_allclose(loaded.std, np.arange(24).std() / 255, rtol=1e-6)


def test_vehicles_are_relabelled_in_the_order_of_their_labels(monkeypatch):
    labels = np.arange(100, dtype=np.int32)
    images = np.arange(100, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 2, 3), np.uint8)
    superclasses = np.full(100, 3, np.int32)
    superclasses[[8, 13, 41]] = [18, 18, 19]
    split = Split(images[::-1].copy(), labels[::-1].copy())
    names = tuple(f"class {label}" for label in labels)
    whole = Dataset("cifar100", split, split, names, superclasses=superclasses)
    monkeypatch.setattr(cifar, "load", lambda name, data_dir: whole)
    monkeypatch.setattr(cifar.tfds_builders, "open_prepared", lambda name, data_dir: _Coarse())
    vehicles = cifar.load_vehicles10()
    assert vehicles.class_names == ("class 8", "class 13", "class 41")
    assert vehicles.train.labels.tolist() == [2, 1, 0]
    assert vehicles.train.inputs[:, 0, 0, 0].tolist() == [41, 13, 8]
    assert vehicles.superclasses.tolist() == [0, 0, 1]


class _Coarse:
    """A builder of which only the names of the coarse labels matter."""

    def __init__(self):
        names = [f"other {i}" for i in range(18)] + ["vehicles_1", "vehicles_2"]
        self.info = self
        self.features = {"coarse_label": self}
        self.names = names


@pytest.mark.data
def test_real_cifar10(load_real):
    cifar10 = load_real("cifar10")
    assert cifar10.train.inputs.shape == (50_000, 32, 32, 3)
    assert np.bincount(cifar10.train.labels).tolist() == [5000] * 10
    assert np.bincount(cifar10.test.labels).tolist() == [1000] * 10
    assert cifar10.class_names[:2] == ("airplane", "automobile")
    # The first images of the original files: a frog, two trucks, a deer.
    assert cifar10.train.labels[:4].tolist() == [6, 9, 9, 4]
    np.testing.assert_allclose(cifar10.mean, [0.4914, 0.4822, 0.4465], atol=5e-5)
    np.testing.assert_allclose(cifar10.std, [0.2470, 0.2435, 0.2616], atol=5e-5)


@pytest.mark.data
def test_real_cifar100_has_real_superclasses(load_real):
    cifar100 = load_real("cifar100")
    assert np.bincount(cifar100.train.labels).tolist() == [500] * 100
    assert np.bincount(cifar100.test.labels).tolist() == [100] * 100
    assert np.bincount(cifar100.superclasses).tolist() == [5] * 20
    flowers = {
        n for n, s in zip(cifar100.class_names, cifar100.superclasses, strict=True) if s == 2
    }
    assert flowers == {"orchid", "poppy", "rose", "sunflower", "tulip"}
    np.testing.assert_allclose(cifar100.mean, [0.5071, 0.4865, 0.4409], atol=5e-5)
    np.testing.assert_allclose(cifar100.std, [0.2673, 0.2564, 0.2762], atol=5e-5)


@pytest.mark.data
def test_real_vehicles(load_real):
    vehicles = load_real("vehicles10")
    assert np.bincount(vehicles.train.labels).tolist() == [500] * 10
    assert np.bincount(vehicles.test.labels).tolist() == [100] * 10
    assert vehicles.class_names == (
        "bicycle",
        "bus",
        "lawn_mower",
        "motorcycle",
        "pickup_truck",
        "rocket",
        "streetcar",
        "tank",
        "tractor",
        "train",
    )
    by_superclass = vehicles.superclasses.tolist()
    assert by_superclass == [0, 0, 1, 0, 0, 1, 1, 1, 1, 0]
    np.testing.assert_allclose(vehicles.mean, [0.5140, 0.5069, 0.4839], atol=5e-5)
    np.testing.assert_allclose(vehicles.std, [0.2686, 0.2660, 0.2812], atol=5e-5)
