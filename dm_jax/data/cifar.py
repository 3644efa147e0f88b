"""CIFAR-10 and CIFAR-100 (Krizhevsky 2009), and the vehicles of CIFAR-100.

Examples keep their original order, so that a corruption is the same on every machine.
"""

from collections.abc import Mapping

import numpy as np

from dm_jax.data import tfds_arrays, tfds_builders
from dm_jax.data.dataset import Dataset, Split
from dm_jax.labels import as_labels

_VEHICLES = ("vehicles_1", "vehicles_2")


def load(
    name: str, data_dir: str | None = None, *, human_features: Mapping[str, str] | None = None
) -> Dataset:
    """Loads 50,000 training and 10,000 test images [32, 32, 3] in the format of CIFAR.

    Args:
      name: "cifar10", "cifar100", or the name of a TFDS data set with the same features.
      data_dir: where TFDS keeps it.
      human_features: name of a set of human labels -> its feature in the training split.

    Returns:
      The data set; with real superclasses if it has coarse labels.

    Raises:
      FileNotFoundError: if it is not prepared; names the command.
    """
    human_features = human_features or {}
    builder = tfds_builders.open_prepared(name, data_dir)
    superclasses_known = "coarse_label" in builder.info.features
    features = ["image", "label", *(["coarse_label"] if superclasses_known else [])]
    train = tfds_arrays.load_arrays(builder, "train", [*features, *human_features.values()])
    test = tfds_arrays.load_arrays(builder, "test", features)
    class_names = tuple(builder.info.features["label"].names)
    num_classes = len(class_names)
    return Dataset(
        name=name,
        train=_split(train, num_classes),
        test=_split(test, num_classes),
        class_names=class_names,
        superclasses=_superclasses(train, num_classes) if superclasses_known else None,
        human_labels={
            label_set: as_labels(train[feature], num_classes, what=f"human labels {label_set!r}")
            for label_set, feature in human_features.items()
        },
    )


def load_vehicles10(name: str = "vehicles10", data_dir: str | None = None) -> Dataset:
    """The ten classes of CIFAR-100's superclasses vehicles 1 and 2: 5,000 and 1,000 images.

    Classes are relabelled 0 .. 9 in the order of their CIFAR-100 labels, superclasses 0 and 1;
    examples keep their order. Arguments and errors are those of `load` for "cifar100".
    """
    cifar100 = load("cifar100", data_dir)
    superclasses = cifar100.superclasses
    assert superclasses is not None, "CIFAR-100 has coarse labels"
    builder = tfds_builders.open_prepared("cifar100", data_dir)
    coarse_names = builder.info.features["coarse_label"].names
    vehicles = [coarse_names.index(superclass) for superclass in _VEHICLES]
    classes = np.flatnonzero(np.isin(superclasses, vehicles))
    train, test = (_only(split, classes) for split in (cifar100.train, cifar100.test))
    return Dataset(
        name=name,
        train=train,
        test=test,
        class_names=tuple(cifar100.class_names[label] for label in classes),
        superclasses=np.searchsorted(vehicles, superclasses[classes]).astype(np.int32),
    )


def _split(columns: Mapping[str, np.ndarray], num_classes: int) -> Split:
    return Split(columns["image"], as_labels(columns["label"], num_classes))


def _superclasses(columns: Mapping[str, np.ndarray], num_classes: int) -> np.ndarray:
    """Superclass of each class, int32 [num_classes], from the coarse labels of the examples."""
    superclasses = np.zeros(num_classes, np.int32)
    superclasses[columns["label"]] = columns["coarse_label"]
    if np.any(superclasses[columns["label"]] != columns["coarse_label"]):
        raise ValueError("the images of one class have different coarse labels")
    return superclasses


def _only(split: Split, classes: np.ndarray) -> Split:
    """The examples of the given sorted classes, relabelled by their index among them."""
    chosen = np.isin(split.labels, classes)
    labels = np.searchsorted(classes, split.labels[chosen]).astype(np.int32)
    return Split(split.inputs[chosen], labels)
