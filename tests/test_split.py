"""The hold-out keeps the share of every class and depends on the seed alone."""

import hashlib

import numpy as np
import pytest

from dm_jax.split import stratified_split

LABELS = np.repeat(np.arange(4), [500, 50, 5, 1])[np.random.default_rng(0).permutation(556)]


def test_parts_are_sorted_disjoint_and_complete():
    train, validation = stratified_split(LABELS, seed=1)
    assert train.dtype == validation.dtype == np.int64
    assert np.all(np.diff(train) > 0)
    assert np.all(np.diff(validation) > 0)
    np.testing.assert_array_equal(np.sort(np.concatenate([train, validation])), np.arange(556))


def test_every_class_gives_its_rounded_share():
    _, validation = stratified_split(LABELS, fraction=0.3, seed=1)
    assert np.bincount(LABELS[validation], minlength=4).tolist() == [150, 15, 2, 0]


@pytest.mark.parametrize(("size", "fraction", "count"), [(50, 0.29, 15), (90, 0.35, 32)])
def test_a_half_rounds_up_although_floats_fall_short_of_it(size, fraction, count):
    assert len(stratified_split(np.zeros(size, int), fraction=fraction, seed=0)[1]) == count


def test_smaller_part_lies_inside_a_larger_one():
    _, small = stratified_split(LABELS, fraction=0.1, seed=7)
    _, large = stratified_split(LABELS, fraction=0.4, seed=7)
    assert np.isin(small, large).all()


def test_seed_decides():
    same, other = stratified_split(LABELS, seed=1)[1], stratified_split(LABELS, seed=2)[1]
    np.testing.assert_array_equal(stratified_split(LABELS, seed=1)[1], same)
    assert not np.array_equal(same, other)


def test_golden_hash():
    _, validation = stratified_split(np.arange(1000) % 7, seed=5)
    digest = hashlib.sha256(validation.astype("<i8").tobytes()).hexdigest()
    assert digest[:16] == "da6d0e0701ed0351"


@pytest.mark.parametrize(("fraction", "held_out"), [(0.0, 0), (1.0, 556)])
def test_limits(fraction, held_out):
    assert stratified_split(LABELS, fraction=fraction, seed=0)[1].size == held_out


def test_bad_input_is_named():
    for fraction in (1.5, -0.1, np.nan):
        with pytest.raises(ValueError, match=rf"fraction must be in \[0, 1\], got {fraction}"):
            stratified_split(LABELS, fraction=fraction, seed=0)
    for fraction in (True, "0.2"):
        with pytest.raises(TypeError, match="fraction must be a number"):
            stratified_split(LABELS, fraction=fraction, seed=0)
    with pytest.raises(ValueError, match=r"labels must have shape \[n\], got \[2, 3\]"):
        stratified_split(np.zeros((2, 3)), seed=0)
    with pytest.raises(ValueError, match="seed must be at least 0, got -1"):
        stratified_split(LABELS, seed=-1)
