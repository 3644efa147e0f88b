"""CIFAR-N: human labels that belong to other images are refused."""

import hashlib

import numpy as np
import pytest

from dm_jax.data import cifar_n
from dm_jax.data.dataset import Dataset, Split


def with_human_labels(labels, human):
    split = Split(np.zeros((len(labels), 2), np.float32), labels)
    names = ("a", "b", "c", "d")
    return Dataset("x", split, split, names, human_labels={"h": human})


@pytest.fixture
def labels():
    return np.random.default_rng(0).integers(0, 4, 1000).astype(np.int32)


def digest(labels):
    return hashlib.sha256(labels.astype(np.uint8).tobytes()).hexdigest()


def test_labels_as_published_pass(labels):
    human = labels.copy()
    human[:100] = (human[:100] + 1) % 4
    cifar_n.check(with_human_labels(labels, human), digest(labels), {"h": 10.0})


def test_clean_labels_in_another_order_are_refused(labels):
    moved = np.roll(labels, 1)
    with pytest.raises(ValueError, match="clean labels of x are not those of CIFAR"):
        cifar_n.check(with_human_labels(moved, moved), digest(labels), {"h": 0.0})


def test_human_labels_of_other_images_are_refused(labels):
    human = np.roll(labels, 1)
    with pytest.raises(ValueError, match=r"of the human labels 'h' of x are wrong, but 0\.00%"):
        cifar_n.check(with_human_labels(labels, human), digest(labels), {"h": 0.0})


def test_a_share_of_wrong_labels_that_is_not_the_published_one_is_refused(labels):
    human = labels.copy()
    human[:100] = (human[:100] + 1) % 4
    with pytest.raises(ValueError, match=r"10\.00% of the human labels 'h' .* but 10\.20%"):
        cifar_n.check(with_human_labels(labels, human), digest(labels), {"h": 10.2})


@pytest.mark.data
@pytest.mark.long
@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        (
            "cifar10_n",
            {"aggregate": 9.0, "random1": 17.2, "random2": 18.1, "random3": 17.6, "worst": 40.2},
        ),
        ("cifar100_n", {"fine": 40.2}),
    ],
)
def test_real_human_labels(load_real, name, wrong):
    loaded, original = load_real(name), load_real(name.removesuffix("_n"))
    assert loaded.fingerprint == original.fingerprint, "same images and labels, same order"
    assert loaded.human_labels.keys() == wrong.keys()
    for kind, percent in wrong.items():
        found = 100 * np.mean(loaded.human_labels[kind] != loaded.train.labels)
        assert round(found, 1) == percent
