"""Noise of a given transition matrix."""

import numpy as np
import pytest

from dm_jax import noise
from dm_jax.noise import class_conditional
from dm_jax.noise.request import Request

LABELS = np.arange(30_000) % 3
MATRIX = np.array([[0.7, 0.3, 0.0], [0.1, 0.9, 0.0], [0.25, 0.25, 0.5]])


def corrupt(path, **kwargs):
    return noise.corrupt(LABELS, num_classes=3, kind=f"matrix:{path}", seed=7, **kwargs)


def test_the_labels_have_the_transition_matrix(tmp_path):
    np.save(tmp_path / "T.npy", MATRIX)
    corruption = corrupt(tmp_path / "T.npy")
    found = noise.transition_matrix(LABELS, corruption.labels, 3)
    np.testing.assert_allclose(found, MATRIX, atol=0.02)
    assert (found[MATRIX == 0] == 0).all()
    assert corruption.kind == "matrix:T.npy"
    assert corruption.hash == "b914cb455686346dfc014bca80e562e18c22cfb5aa306b0307a915805ac3cba2"


def test_a_matrix_may_be_an_array(tmp_path):
    np.save(tmp_path / "T.npy", MATRIX)
    drawn = noise.corrupt(LABELS, num_classes=3, kind="matrix", matrix=MATRIX, seed=7)
    np.testing.assert_array_equal(drawn.labels, corrupt(tmp_path / "T.npy").labels)
    assert drawn.kind == "matrix"


def test_a_matrix_that_is_missing_is_named():
    with pytest.raises(ValueError, match="kind 'matrix' needs the matrix, or its file: 'matrix:P"):
        noise.corrupt(LABELS, num_classes=3, kind="matrix")


@pytest.mark.parametrize("kind", ["symmetric", "matrix:T.npy"])
def test_a_matrix_that_would_not_be_used_is_refused(kind):
    with pytest.raises(ValueError, match=f"matrix is for kind 'matrix', got kind '{kind}'"):
        noise.corrupt(LABELS, num_classes=3, kind=kind, matrix=MATRIX)


def test_a_measured_matrix_draws_such_noise_again(tmp_path):
    given = noise.corrupt(LABELS, num_classes=3, rate=0.4, seed=1).labels
    np.savez(tmp_path / "T.npz", matrix=noise.transition_matrix(LABELS, given, 3))
    again = noise.transition_matrix(LABELS, corrupt(tmp_path / "T.npz").labels, 3)
    np.testing.assert_allclose(again, noise.transition_matrix(LABELS, given, 3), atol=0.02)


def test_a_class_without_examples_needs_no_row(tmp_path):
    given = np.zeros(10, np.int32)
    matrix = noise.transition_matrix(given, given, 2)
    np.save(tmp_path / "T.npy", matrix)
    drawn = noise.corrupt(given, num_classes=2, kind=f"matrix:{tmp_path}/T.npy")
    np.testing.assert_array_equal(drawn.labels, given)


def test_the_identity_changes_nothing(tmp_path):
    np.save(tmp_path / "T.npy", np.eye(3, dtype=int))
    assert corrupt(tmp_path / "T.npy").actual_rate == 0


def test_a_row_just_short_of_one_draws_no_impossible_class(tmp_path):
    """Its sum may round to less than the largest uniform."""
    np.save(tmp_path / "T.npy", [[0.5, 0.5 - 9e-7, 0], [0, 1, 0], [0, 0, 1]])
    largest = Request(
        labels=np.zeros(1, np.int32),
        num_classes=3,
        rate=0.0,
        seed=0,
        flip=np.zeros(1),
        choice=np.array([1 - 2**-53]),
        argument=str(tmp_path / "T.npy"),
    )
    assert class_conditional.matrix(largest).tolist() == [1]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            MATRIX[:2],
            r"T\.npy must be numbers \[3, 3\], one row a true class, got float64 \[2, 3\]",
        ),
        (MATRIX + 0j, r"T\.npy must be numbers \[3, 3\], .* got complex128 \[3, 3\]"),
        (MATRIX.T, r"row 0 of .*T\.npy must be probabilities that sum to 1, got \[0\.7"),
        (2 * np.eye(3) - MATRIX, r"sum to 1, got \[1\.3, -0\.3"),
        (np.full((3, 3), np.nan), r"sum to 1, got \[nan"),
    ],
)
def test_a_bad_matrix_is_named(tmp_path, values, message):
    np.save(tmp_path / "T.npy", values)
    with pytest.raises(ValueError, match=message):
        corrupt(tmp_path / "T.npy")
