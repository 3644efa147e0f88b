"""Imbalances keep as many of each class as their definitions say."""

import numpy as np
import pytest

from dm_jax import noise

LABELS = np.random.default_rng(0).permutation(np.arange(5000) % 10)
BINARY = np.random.default_rng(0).permutation(np.arange(25_000) % 2)


def kept(imbalance, ratio, labels=LABELS, classes=10, **kwargs):
    return noise.corrupt(labels, num_classes=classes, imbalance=imbalance, ratio=ratio, **kwargs)


@pytest.mark.parametrize(("ratio", "negatives"), [(1, 12_500), (10, 1250), (50, 250), (3, 4167)])
def test_ratio_keeps_all_positives_and_a_sample_of_negatives(ratio, negatives):
    corruption = kept("ratio", ratio, BINARY, 2)
    assert np.bincount(corruption.labels).tolist() == [negatives, 12_500]


def test_long_tail_falls_exponentially():
    counts = np.bincount(kept("long_tail", 100).labels)
    # floor(500 * 100^(-k / 9)), by hand
    assert counts.tolist() == [500, 299, 179, 107, 64, 38, 23, 13, 8, 5]


def test_step_cuts_the_later_half():
    assert np.bincount(kept("step", 20).labels).tolist() == [500] * 5 + [25] * 5
    odd = kept("step", 10, np.arange(300) % 3, 3)
    assert np.bincount(odd.labels).tolist() == [100, 10, 10]


@pytest.mark.parametrize(
    ("imbalance", "ratio", "of_each", "expected"),
    [("long_tail", 49, 147, [147, 21, 3]), ("step", 2.2, 33, [33, 15, 15])],
)
def test_a_whole_share_is_kept_although_floats_fall_short_of_it(
    imbalance, ratio, of_each, expected
):
    labels = np.repeat(np.arange(3), of_each)
    assert np.bincount(kept(imbalance, ratio, labels, 3).labels).tolist() == expected


@pytest.mark.filterwarnings("error")
def test_the_tail_of_one_class_is_all_of_it():
    corruption = kept("long_tail", 10, np.zeros(30, int), 1, kind="symmetric_any")
    assert corruption.kept.size == 30


@pytest.mark.parametrize("imbalance", ["long_tail", "step"])
def test_ratio_one_keeps_everything(imbalance):
    np.testing.assert_array_equal(kept(imbalance, 1).kept, np.arange(5000))


def test_a_class_that_has_fewer_gives_all_it_has():
    labels = np.repeat(np.arange(3), [100, 20, 50])
    assert np.bincount(kept("long_tail", 4, labels, 3).labels).tolist() == [100, 20, 25]


def test_imbalance_goes_by_the_true_class_and_leaves_the_noise_alone():
    full = kept("none", 1.0, kind="pair", rate=0.5, seed=2)
    part = kept("long_tail", 10, kind="pair", rate=0.5, seed=2)
    np.testing.assert_array_equal(part.labels, full.labels[part.kept])
    np.testing.assert_array_equal(part.changed, full.changed[part.kept])
    assert (
        np.bincount(LABELS[part.kept]).tolist()
        == np.bincount(kept("long_tail", 10).labels).tolist()
    )


def test_stronger_imbalance_keeps_a_part_of_a_weaker_one():
    weak, strong = kept("step", 2), kept("step", 50)
    assert np.isin(strong.kept, weak.kept).all()


@pytest.mark.parametrize(
    ("imbalance", "ratio", "message"),
    [
        ("longtail", 10, "unknown imbalance 'longtail'; did you mean 'long_tail'"),
        ("none", 10, "imbalance 'none' has no ratio, got ratio 10"),
        ("step", 0.5, "ratio must be a finite number of at least 1, got 0.5"),
        ("step", np.nan, "ratio must be a finite number of at least 1, got nan"),
        ("step", np.inf, "ratio must be a finite number of at least 1, got inf"),
        ("ratio", 10, "imbalance 'ratio' is for 2 classes, got 10"),
        ("step", 501, "imbalance 'step' with ratio 501 empties class 5"),
        ("long_tail", 1000, "imbalance 'long_tail' with ratio 1000 empties class 9"),
    ],
)
def test_bad_input_is_named(imbalance, ratio, message):
    with pytest.raises(ValueError, match=message):
        kept(imbalance, ratio)


def test_a_ratio_that_needs_more_negatives_than_there_are():
    message = r"ratio 1\.5 .* keeps 200 examples of class 0, but there are 100"
    with pytest.raises(ValueError, match=message):
        kept("ratio", 1.5, np.repeat([0, 1], [100, 300]), 2)
