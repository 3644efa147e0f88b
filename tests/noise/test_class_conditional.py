"""Every class-wise noise does what its docstring says, and only that."""

import math

import numpy as np
import pytest

from dm_jax import noise
from dm_jax.noise.request import Request

# Twenty superclasses of five, their ids scattered as CIFAR-100's are.
SUPERCLASSES = np.random.default_rng(0).permutation(np.arange(100) % 20)
LABELS = {C: np.random.default_rng(C).permutation(np.arange(20_000) % C) for C in (2, 10, 100)}


def corrupt(kind, classes, rate=0.4, **kwargs):
    return noise.corrupt(
        LABELS[classes], num_classes=classes, kind=kind, rate=rate, seed=1, **kwargs
    )


def targets(kind, classes, **kwargs):
    """Where each class goes when every example is flipped, checked to be one target a class."""
    given = corrupt(kind, classes, rate=1.0, **kwargs).labels
    return [np.unique(given[LABELS[classes] == label]).item() for label in range(classes)]


def assert_share(share, expected, n):
    """Within four standard errors."""
    assert abs(share - expected) < 4 * math.sqrt(max(expected * (1 - expected), 1e-9) / n)


@pytest.mark.parametrize(
    ("kind", "classes", "expected"),
    [
        ("symmetric", 2, 0.4),
        ("symmetric", 10, 0.4),
        ("symmetric", 100, 0.4),
        ("symmetric_any", 2, 0.2),
        ("symmetric_any", 10, 0.36),
        ("symmetric_any", 100, 0.396),
        ("pair", 10, 0.4),
        ("asymmetric_cifar10", 10, 0.2),
        ("superclass_swap", 100, 0.16),
        ("superclass_next", 100, 0.4),
        ("block_swap", 100, 0.16),
        ("block_next", 100, 0.4),
    ],
)
def test_true_noise_rate_is_the_documented_one(kind, classes, expected):
    corruption = corrupt(kind, classes, superclasses=SUPERCLASSES)
    assert_share(corruption.actual_rate, expected, LABELS[classes].size)
    np.testing.assert_array_equal(corruption.changed, corruption.labels != LABELS[classes])


def test_symmetric_spreads_evenly_over_the_other_classes():
    matrix = noise.transition_matrix(LABELS[10], corrupt("symmetric", 10).labels, 10)
    for share in matrix[~np.eye(10, dtype=bool)]:
        assert_share(share, 0.4 / 9, 2000)


def test_symmetric_any_spreads_evenly_over_all_classes():
    given = corrupt("symmetric_any", 10, rate=1.0).labels
    for share in noise.transition_matrix(LABELS[10], given, 10).ravel():
        assert_share(share, 0.1, 2000)


def test_pair_is_the_next_class():
    assert targets("pair", 10) == [1, 2, 3, 4, 5, 6, 7, 8, 9, 0]
    assert targets("pair", 2) == [1, 0]


def test_asymmetric_cifar10_is_patrinis():
    first = ["airplane", "automobile", "bird", "cat", "deer"]
    names = [*first, "dog", "frog", "horse", "ship", "truck"]
    flips = {"truck": "automobile", "bird": "airplane", "deer": "horse", "cat": "dog", "dog": "cat"}
    assert [names[t] for t in targets("asymmetric_cifar10", 10)] == [
        flips.get(name, name) for name in names
    ]


@pytest.mark.parametrize("kind", ["superclass_swap", "block_swap"])
def test_swap_exchanges_two_classes_of_each_group(kind):
    groups = SUPERCLASSES if kind == "superclass_swap" else np.arange(100) // 5
    target = np.array(targets(kind, 100, superclasses=SUPERCLASSES))
    moved = np.flatnonzero(target != np.arange(100))
    np.testing.assert_array_equal(target[target], np.arange(100))
    np.testing.assert_array_equal(groups[target], groups)
    assert np.bincount(groups[moved]).tolist() == [2] * 20


def test_swap_draws_every_pair():
    pairs = set()
    for seed in range(60):
        given = noise.corrupt(
            np.arange(5), num_classes=5, kind="block_swap", rate=1.0, seed=seed
        ).labels
        pairs.add(tuple(np.flatnonzero(given != np.arange(5)).tolist()))
    assert len(pairs) == 10


@pytest.mark.parametrize("kind", ["superclass_next", "block_next"])
def test_next_is_a_circle_within_each_group(kind):
    groups = SUPERCLASSES if kind == "superclass_next" else np.arange(100) // 5
    target = np.array(targets(kind, 100, superclasses=SUPERCLASSES))
    for group in range(20):
        own = np.flatnonzero(groups == group)
        np.testing.assert_array_equal(target[own], np.roll(own, -1))


@pytest.mark.parametrize("kind", ["symmetric", "symmetric_any", "pair", "block_swap"])
def test_rate_zero_changes_nothing(kind):
    np.testing.assert_array_equal(corrupt(kind, 10, rate=0.0).labels, LABELS[10])


def test_a_uniform_of_zero_is_below_every_rate_but_zero():
    labels, target = np.zeros(3, np.int32), np.ones(3, np.int32)
    zeros = Request(labels, num_classes=2, rate=0.0, seed=0, flip=np.zeros(3), choice=np.zeros(3))
    assert zeros.flip_to(target).tolist() == [0, 0, 0]
    assert zeros.flip_to(target, np.array([0.0, 1e-300, 1.0])).tolist() == [0, 1, 1]


@pytest.mark.parametrize("kind", ["symmetric", "superclass_swap", "block_next"])
def test_lower_rate_flips_a_part_of_what_a_higher_one_flips(kind):
    low, high = (corrupt(kind, 100, rate=r, superclasses=SUPERCLASSES) for r in (0.2, 0.6))
    assert low.changed.sum() > 0
    np.testing.assert_array_equal(high.labels[low.changed], low.labels[low.changed])


@pytest.mark.parametrize(
    ("kind", "classes", "superclasses", "message"),
    [
        ("superclass_swap", 10, None, "'superclass_swap' needs superclasses"),
        ("superclass_next", 10, None, "'superclass_next' needs superclasses"),
        ("superclass_next", 10, np.zeros(9, int), r"shape \[10\] .*, got \[9\]"),
        ("superclass_swap", 10, np.array([0] * 9 + [7]), "two classes per superclass, 7 has one"),
        ("asymmetric_cifar10", 100, None, "needs 10 classes, got 100"),
        ("block_swap", 2, None, "'block_swap' needs a multiple of 5 classes, got 2"),
        ("block_next", 2, None, "'block_next' needs a multiple of 5 classes, got 2"),
    ],
)
def test_a_kind_says_what_it_needs(kind, classes, superclasses, message):
    with pytest.raises(ValueError, match=message):
        corrupt(kind, classes, superclasses=superclasses)


@pytest.mark.parametrize("kind", ["symmetric", "pair", "instance"])
def test_one_class_has_no_wrong_label(kind):
    with pytest.raises(ValueError, match=f"kind '{kind}' needs 2 classes or more, got 1"):
        noise.corrupt(np.zeros(4), num_classes=1, kind=kind, rate=0.4)
