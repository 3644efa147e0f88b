"""Data sets in memory: two validated splits, the classes and the statistics of the inputs."""

import dataclasses
import functools
import hashlib
import warnings
from collections.abc import Mapping

import numpy as np

from dm_jax import errors
from dm_jax.labels import as_labels


@dataclasses.dataclass(frozen=True, eq=False)
class Split:
    """Examples in a fixed order; warns of images that look like [n, channels, height, width].

    Attributes:
      inputs: uint8 images [n, height, width, channels] or float32 features [n, d].
      labels: int32 [n].

    Raises:
      TypeError: if one is not a NumPy array, or has another dtype.
      ValueError: if an array has another rank, the lengths differ, or a feature is not finite.
    """

    inputs: np.ndarray
    labels: np.ndarray

    def __post_init__(self):
        _check_inputs(self.inputs)
        _check_array("labels", self.labels)
        if self.labels.dtype != np.int32:
            raise TypeError(f"labels must be int32, got {self.labels.dtype}")
        if self.labels.shape != self.inputs.shape[:1]:
            raise ValueError(
                f"labels must have shape {self.inputs.shape[:1]}, one for each input, "
                f"got {self.labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        return f"Split(inputs {self.inputs.dtype} {list(self.inputs.shape)})"


@dataclasses.dataclass(frozen=True, eq=False)
class Dataset:
    """A data set in memory.

    Attributes:
      name: the name it was loaded by.
      train, test: the two splits.
      class_names: [num_classes] strings.
      superclasses: int [num_classes], the superclass of each class, below num_classes; or None.
      human_labels: name -> int [len(train)], labels by annotators (CIFAR-N).

    Raises:
      TypeError: if a split is no `Split`, the class names are not strings, or the superclasses or
        human labels are not arrays of integers.
      ValueError: if the inputs of the splits differ in shape or dtype, or a label, a superclass or
        a human label does not fit the number of classes.
    """

    name: str
    train: Split
    test: Split
    class_names: tuple[str, ...]
    superclasses: np.ndarray | None = None
    human_labels: Mapping[str, np.ndarray] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        _check_split("train", self.train)
        _check_split("test", self.test)
        _check_names(self.class_names)
        _check_alike(self.train.inputs, self.test.inputs)
        as_labels(self.train.labels, self.num_classes, what="train labels")
        as_labels(self.test.labels, self.num_classes, what="test labels")
        for name, labels in self.human_labels.items():
            _check_integers(f"human labels {name!r}", labels)
            as_labels(labels, self.num_classes, what=f"human labels {name!r}")
            if labels.shape != self.train.labels.shape:
                raise ValueError(
                    f"human labels {name!r} must have shape {list(self.train.labels.shape)}, "
                    f"got {list(labels.shape)}"
                )
        if self.superclasses is not None:
            _check_superclasses(self.superclasses, self.num_classes)

    def __repr__(self) -> str:
        splits = f"train={self.train}, test={self.test}"
        return f"Dataset({self.name!r}, {self.num_classes} classes, {splits})"

    @property
    def num_classes(self) -> int:
        """Number of classes; labels are in 0 .. num_classes - 1."""
        return len(self.class_names)

    @property
    def mean(self) -> np.ndarray:
        """Per-channel mean of the training images in [0, 1], float32; zeros [d] for features."""
        return self._statistics[0]

    @property
    def std(self) -> np.ndarray:
        """Per-channel standard deviation, as `mean`; ones [d] for features."""
        return self._statistics[1]

    @functools.cached_property
    def _statistics(self) -> tuple[np.ndarray, np.ndarray]:
        inputs = self.train.inputs
        if inputs.dtype == np.uint8:
            return image_statistics(inputs)
        return np.zeros(inputs.shape[1], np.float32), np.ones(inputs.shape[1], np.float32)

    @functools.cached_property
    def fingerprint(self) -> str:
        """Hexadecimal SHA-256 of the inputs and labels of both splits; identifies the data."""
        sha = hashlib.sha256()
        for split in (self.train, self.test):
            for array in (split.inputs, split.labels):
                sha.update(f"{array.dtype.str} {array.shape}\n".encode())
                sha.update(np.ascontiguousarray(array).data)
        return sha.hexdigest()


def image_statistics(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation per channel, float32 [channels], of uint8 images over 255.

    Computed from a histogram of the 256 values: exact, and without a float copy of the images.
    """
    values = np.arange(256) / 255.0
    channels = images.shape[-1]
    counts = [np.bincount(images[..., c].ravel(), minlength=256) for c in range(channels)]
    shares = np.stack(counts) / (images.size // channels)
    mean = shares @ values
    variance = np.sum(shares * (values - mean[:, None]) ** 2, axis=1)
    # A constant channel stays constant instead of turning into NaN.
    std = np.where(variance > 0, np.sqrt(variance), 1.0)
    return mean.astype(np.float32), std.astype(np.float32)


def as_features(what: str, rows: np.ndarray) -> np.ndarray:
    """Numbers [n, d] as float32 features; raises ValueError if one is not finite as float32."""
    errors.check_finite(what, rows)
    with np.errstate(over="ignore"):
        features = rows.astype(np.float32)
    errors.check_finite(f"{what} as float32", features)
    return features


def _check_split(what: str, value: Split) -> None:
    if not isinstance(value, Split):
        raise TypeError(f"{what} must be a data.Split, got {type(value).__name__}")


def _check_names(names: tuple[str, ...]) -> None:
    if isinstance(names, str) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"class_names must be a tuple of strings, got {names!r}")


def _check_array(what: str, value: np.ndarray) -> None:
    if not isinstance(value, np.ndarray):
        raise TypeError(f"{what} must be a NumPy array, got {type(value).__name__}")


def _check_integers(what: str, value: np.ndarray) -> None:
    _check_array(what, value)
    if value.dtype.kind not in "iu":
        raise TypeError(f"{what} must be integers, got {value.dtype}")


def _check_alike(train: np.ndarray, test: np.ndarray) -> None:
    """Raises ValueError if one network cannot take the inputs of both splits."""
    (first, second) = ((split.dtype.name, list(split.shape[1:])) for split in (train, test))
    if first != second:
        raise ValueError(
            "train and test inputs must have the same dtype and shape, got "
            f"{first[0]} {first[1]} and {second[0]} {second[1]}"
        )


def _check_superclasses(superclasses: np.ndarray, num_classes: int) -> None:
    _check_integers("superclasses", superclasses)
    if superclasses.shape != (num_classes,):
        raise ValueError(f"superclasses must have shape ({num_classes},), got {superclasses.shape}")
    as_labels(superclasses, num_classes, what="superclasses")


def _check_inputs(inputs: np.ndarray) -> None:
    _check_array("inputs", inputs)
    ranks = {np.dtype(np.uint8): 4, np.dtype(np.float32): 2}
    if inputs.dtype not in ranks:
        raise TypeError(f"inputs must be uint8 images or float32 features, got {inputs.dtype}")
    if inputs.ndim != ranks[inputs.dtype]:
        raise ValueError(
            "inputs must be images [n, height, width, channels] (uint8) or features [n, d] "
            f"(float32), got {inputs.dtype} of shape {inputs.shape}"
        )
    errors.check_finite("inputs", inputs)
    if inputs.ndim == 4 and inputs.shape[1] in (1, 3) and inputs.shape[3] > 4:
        warnings.warn(
            f"images of shape {inputs.shape} are taken as [n, height, width, channels]; if they "
            "are [n, channels, height, width], use images.transpose(0, 2, 3, 1)",
            stacklevel=4,
        )
