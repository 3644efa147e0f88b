"""Custom data: arrays in an .npz file."""

import pathlib

import numpy as np

from dm_jax import npz
from dm_jax.data.dataset import Dataset, Split, as_features
from dm_jax.labels import as_labels

_ARRAYS = ("x_train", "y_train", "x_test", "y_test")


def load(path: str, data_dir: str | None = None) -> Dataset:
    """Loads a data set from the arrays x_train, y_train, x_test and y_test of an .npz.

    Inputs are uint8 images [n, height, width] or [n, height, width, channels], or numbers [n, d],
    which become float32 features. Labels are whole numbers [n] from 0 without gaps; the largest
    training label, which must be below n, sets the number of classes. Nothing in the file is
    unpickled.

    Args:
      path: path of the file.
      data_dir: base of a relative path; the working directory if None.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: it is damaged, an array is missing, misshaped or not finite, or a label invalid.
      TypeError: labels are not numbers.
    """
    file = pathlib.Path(data_dir or "").expanduser() / pathlib.Path(path).expanduser()
    arrays = npz.read(file, _ARRAYS)
    if arrays["y_train"].size == 0:
        raise ValueError(f"y_train of {file} is empty")
    # One stray label, such as 10**12, must not allocate memory for as many classes.
    y_train = as_labels(arrays["y_train"], arrays["y_train"].size, what="y_train")
    if y_train.min() > 0:
        raise ValueError(f"y_train of {file} starts at {y_train.min()}; classes count from 0")
    num_classes = int(y_train.max()) + 1
    for split in ("train", "test"):
        inputs, labels = arrays[f"x_{split}"], arrays[f"y_{split}"]
        if inputs.ndim and len(inputs) != labels.size:
            raise ValueError(
                f"x_{split} of {file} has {len(inputs)} inputs, y_{split} {labels.size} labels"
            )
    if num_classes < 2:
        raise ValueError(f"y_train of {file} must have 2 classes or more, got only 0")
    y_test = as_labels(arrays["y_test"], num_classes, what="y_test")
    if absent := sorted(set(range(num_classes)) - {*y_train.tolist(), *y_test.tolist()}):
        raise ValueError(
            f"{file} has no example of class {absent[0]}, but labels up to {num_classes - 1}; "
            "number the classes of both splits together, without gaps"
        )
    train = Split(_inputs(f"x_train of {file}", arrays["x_train"]), y_train)
    test = Split(_inputs(f"x_test of {file}", arrays["x_test"]), y_test)
    class_names = tuple(str(label) for label in range(num_classes))
    return Dataset(f"npz:{path}", train, test, class_names)


def _inputs(what: str, array: np.ndarray) -> np.ndarray:
    if 0 in array.shape[1:]:
        raise ValueError(f"{what} must not have an axis of size 0, got {list(array.shape)}")
    if array.ndim == 3 and array.dtype == np.uint8:
        return array[..., None]
    if array.ndim == 4 and array.dtype == np.uint8:
        return array
    if array.ndim == 2 and array.dtype.kind in "iuf":
        return as_features(what, array)
    raise ValueError(
        f"{what} must be uint8 images [n, height, width(, channels)] or features [n, d], "
        f"got {array.dtype} of shape {list(array.shape)}"
    )
