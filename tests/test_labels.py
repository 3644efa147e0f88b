"""Labels that are not class labels are named by row and value."""

import re

import numpy as np
import pytest

from dm_jax.labels import as_labels


@pytest.mark.parametrize("dtype", [np.uint8, np.int64, np.float32])
def test_whole_numbers_become_int32(dtype):
    labels = as_labels(np.array([0, 2, 1], dtype), 3)
    np.testing.assert_array_equal(labels, np.array([0, 2, 1], np.int32), strict=True)


@pytest.mark.parametrize("value", [3, -1, 0.5, np.nan, np.inf, 1e30])
def test_the_first_bad_row_and_its_value_are_named(value):
    values = np.array([0, 1, value, 2, value])
    named = re.escape(f"row 2 is {values[2]}; accepted: whole numbers from 0 to 2 (3 classes)")
    with pytest.raises(ValueError, match=named + "; 2 rows are invalid"):
        as_labels(values, 3)


def test_shape_and_type_are_checked():
    with pytest.raises(ValueError, match=r"given must have shape \[n\], got \[2, 1\]"):
        as_labels(np.zeros((2, 1)), 3, what="given")
    with pytest.raises(TypeError, match="labels must be numbers, got dtype <U3"):
        as_labels(["cat", "dog"], 3)
    with pytest.raises(TypeError, match="got dtype bool"):
        as_labels(np.array([True]), 3)
