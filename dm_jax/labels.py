"""Validation of labels from data sets, noise and files."""

import numpy as np


def as_labels(values, num_classes: int, *, what: str = "labels") -> np.ndarray:
    """Converts values to class labels, int32 [n].

    Args:
      values: [n] integers, or floats that are whole numbers.
      num_classes: labels are in 0 .. num_classes - 1.
      what: name of the values in errors.

    Raises:
      TypeError: the values are not numbers.
      ValueError: the values are not [n], or one is fractional or out of range; names the first
        such row and its value.
    """
    values = np.asarray(values)
    if values.dtype.kind not in "iuf":
        raise TypeError(f"{what} must be numbers, got dtype {values.dtype}")
    if values.ndim != 1:
        raise ValueError(f"{what} must have shape [n], got {list(values.shape)}")
    # A NaN fails both comparisons, so `~` counts it as bad.
    good = (values >= 0) & (values < num_classes) & (values == np.floor(values))
    if not good.all():
        row = int(np.argmin(good))
        raise ValueError(
            f"{what}: row {row} is {values[row]}; accepted: whole numbers from 0 to "
            f"{num_classes - 1} ({num_classes} classes); {int((~good).sum())} rows are invalid"
        )
    return values.astype(np.int32)
