"""Draws: the raw stream is pinned, and what is derived from it has the right distribution."""

import math

import numpy as np
import pytest

from dm_jax import draws


def test_raw_stream_is_pinned():
    """PCG64's bits to the last: a NumPy or platform that breaks this breaks every hash."""
    drawn = draws.generator(123, "noise").random(3)
    golden = [
        "0x1.5d5d393207e7dp-1",
        "0x1.b8e6db72f96d0p-5",
        "0x1.c34c097745cf4p-3",
    ]
    assert [u.hex() for u in drawn.tolist()] == golden


def test_streams_and_seeds_differ():
    first = {
        draws.generator(seed, stream).random()
        for seed in (0, 1, 2**40)
        for stream in ("noise", "imbalance", "structure", "split")
    }
    orders = {draws.generator(0, "order", epoch).random() for epoch in range(4)}
    assert len(first | orders) == 16


@pytest.mark.parametrize(
    ("seed", "error"),
    [(-1, ValueError), (1.0, TypeError), (True, TypeError), ("1", TypeError), (None, TypeError)],
)
def test_bad_seed_is_named(seed, error):
    with pytest.raises(error, match=r"seed must be (an integer|at least 0), got"):
        draws.generator(seed, "noise")


def test_integers_cover_their_range_at_both_ends():
    edges = np.array([0.0, np.nextafter(0.25, 0), 0.25, 1 - 2**-53])
    drawn = draws.integers(edges, 4)
    assert (drawn.tolist(), drawn.dtype) == ([0, 0, 1, 3], np.int64)


def test_others_never_gives_its_own_and_all_others_equally():
    grid = (np.arange(900) + 0.5) / 900
    for own in range(4):
        counts = np.bincount(draws.others(grid, own, 4), minlength=4)
        assert counts.tolist() == [0 if label == own else 300 for label in range(4)]


def test_sample_takes_the_smallest_in_order():
    chosen = draws.sample(np.array([10, 20, 30, 40]), np.array([0.5, 0.1, 0.9, 0.2]), 3)
    assert chosen.tolist() == [10, 20, 40]


def test_normals_are_normal_and_dyadic():
    values = draws.normals(draws.generator(0, "structure"), (200, 500))
    assert np.all(values * 2**16 == np.round(values * 2**16))
    # Four standard errors of the mean, the variance and a tail probability.
    n = values.size
    assert abs(values.mean()) < 4 / math.sqrt(n)
    assert abs(values.var() - 1) < 4 * math.sqrt(2 / n)
    tail = math.erfc(2 / math.sqrt(2)) / 2
    assert abs((values > 2).mean() - tail) < 4 * math.sqrt(tail / n)


def test_normals_are_pinned():
    """Box-Muller of the raw stream: other formulas are as normal, but change every hash."""
    radius, angle = draws.generator(0, "structure").random((2, 3))
    exact = np.sqrt(-2 * np.log(1 - radius)) * np.cos(2 * np.pi * angle)
    values = draws.normals(draws.generator(0, "structure"), (3,))
    np.testing.assert_allclose(values, exact, atol=2**-17)
    assert (values * 2**16).tolist() == [16478, 49798, -41310]
