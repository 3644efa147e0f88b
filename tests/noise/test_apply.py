"""Corruptions are pinned by hash, checked at the door, and split as the paper splits them."""

import numpy as np
import pytest

from dm_jax import noise

LABELS = np.arange(2000) % 10
SETTINGS = {
    "symmetric": {},
    "symmetric_any": {},
    "pair": {},
    "asymmetric_cifar10": {},
    "superclass_swap": {"superclasses": np.arange(10) % 2},
    "superclass_next": {"superclasses": np.arange(10) % 2},
    "block_swap": {},
    "block_next": {},
    "instance": {"inputs": (np.arange(2000 * 48) % 251).astype(np.uint8).reshape(2000, 4, 4, 3)},
    "human:worst": {"rate": 0.0, "human_labels": {"worst": LABELS[::-1]}},
}
GOLDEN = {
    "symmetric": "820c30a18b06bfe576e02a06d083ed07c0bf6809e55a514fd289e7f4e0404763",
    "symmetric_any": "8029d0d1696452b3974b93c465a53055f85cac87422f09c55bc279303d7d1737",
    "pair": "f3d3c64cc5467b54b4332e0cfc2da5ffa916f8b119a28f84d0a861681d212944",
    "asymmetric_cifar10": "ab1468dd543d464ef9bdd42b69be197429332a01aa88d4ba7a7e63699c03905d",
    "superclass_swap": "25dac8e0b0245c3460b2da6bc055c1e8c8d0d96517d55c9a25e9b3669615abbd",
    "superclass_next": "a439354c213620fd03492dc50367734fade9d912fe6701b18840d50f56c074aa",
    "block_swap": "5568e9a53bae0a06ac0e47d961579e7d356a0021b0dc3a20f3b420185a7ee9a1",
    "block_next": "b9e76d9e438e3836d4aea1b497da30c744727f5269b9b2ffdd5046a588582970",
    "instance": "223b80b388cdbe16a58c3cbc46e21f4bf5c839eb7f5fc81e8f736f21b833648e",
    "human:worst": "97fcc0276fcc795cb1d0d2c85a3c8012ff9b8c1a7bbba9e818d801b58f2c26e7",
}
GOLDEN_IMBALANCES = {
    "ratio": "6d128a5312bef974d6c5d64f54f1885f349b282435e674aa0de107d6472d6dba",
    "long_tail": "f0e54ab4d3690b7cd976c800ed4d3c288b5af0e78581298344f03b8d121e3e80",
    "step": "39ccf4977b2fa57cafc3dda5c96c6c6c89a734d707617758ec26a62868c625d5",
}


def corrupt(kind="symmetric", **kwargs):
    return noise.corrupt(LABELS, num_classes=10, kind=kind, **{"rate": 0.4, "seed": 7, **kwargs})


@pytest.mark.parametrize("kind", SETTINGS)
def test_golden_hash_of_every_kind(kind):
    """The promise that a seed means the same labels everywhere, and for ever."""
    assert corrupt(kind, **SETTINGS[kind]).hash == GOLDEN[kind]


@pytest.mark.parametrize("imbalance", ["ratio", "long_tail", "step"])
def test_golden_hash_of_every_imbalance(imbalance):
    classes = 2 if imbalance == "ratio" else 10
    corruption = noise.corrupt(
        LABELS % classes, num_classes=classes, rate=0.2, seed=7, imbalance=imbalance, ratio=10
    )
    assert corruption.hash == GOLDEN_IMBALANCES[imbalance]


def test_every_kind_has_a_golden_hash():
    given = ("file:PATH", "matrix", "matrix:PATH")  # tested elsewhere
    drawn = {kind for kind in noise.kinds() if kind not in given}
    assert drawn == {kind.replace("worst", "NAME") for kind in GOLDEN}


def test_seeds_differ_and_repeat():
    assert corrupt(seed=1).hash == corrupt(seed=1).hash
    assert not np.array_equal(corrupt(seed=1).labels, corrupt(seed=2).labels)


def test_a_seed_of_numpy_is_recorded_as_a_number():
    assert corrupt(seed=np.int64(7)).hash == corrupt(seed=7).hash


def test_an_example_is_flipped_by_its_position_not_by_its_neighbours():
    longer = noise.corrupt(np.tile(LABELS, 2), num_classes=10, rate=0.4, seed=7)
    np.testing.assert_array_equal(longer.labels[:2000], corrupt().labels)


@pytest.mark.parametrize("rate", [-0.1, 1.5, np.nan])
def test_rate_outside_its_range_is_named(rate):
    with pytest.raises(ValueError, match=rf"rate must be in \[0, 1\], got {rate}"):
        corrupt(rate=rate)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("symetric", "unknown noise kind 'symetric'; did you mean 'symmetric'"),
        ("asymmetric", "unknown noise kind 'asymmetric'; did you mean 'asymmetric_"),
        ("human", "unknown noise kind 'human'; did you mean 'human:NAME'"),
        ("pair:5", "unknown noise kind 'pair:5'; did you mean 'pair'"),
        ("", "unknown noise kind ''"),
        ("human:", "unknown noise kind 'human:'; did you mean 'human:NAME'"),
        ("matrix:", "unknown noise kind 'matrix:'; did you mean 'matrix:PATH'"),
    ],
)
def test_unknown_kind_gives_the_nearest(kind, message):
    with pytest.raises(ValueError, match=message):
        corrupt(kind)


def test_bad_labels_are_named():
    with pytest.raises(
        ValueError, match="labels: row 3 is 10; accepted: whole numbers from 0 to 9"
    ):
        noise.corrupt([0, 1, 2, 10], num_classes=10)
    with pytest.raises(ValueError, match=r"labels: row 1 is 0\.5"):
        noise.corrupt([0, 0.5], num_classes=10)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"num_classes": 10.0}, TypeError, r"num_classes must be an integer, got 10\.0"),
        ({"num_classes": 0}, ValueError, "num_classes must be at least 1, got 0"),
        ({"kind": None}, TypeError, "kind must be a string, got None"),
        ({"rate": "0.4"}, TypeError, "rate must be a number, got '0.4'"),
        ({"imbalance": "step", "ratio": "10"}, TypeError, "ratio must be a number, got '10'"),
        (
            {"kind": "superclass_swap", "superclasses": [np.nan] * 10},
            TypeError,
            "superclasses must be integers, got float64",
        ),
        ({"kind": "instance", "inputs": 3.0}, ValueError, r"inputs must be \[2, .*, got \[\]"),
    ],
)
def test_bad_arguments_are_named(changes, error, message):
    with pytest.raises(error, match=message):
        noise.corrupt([0, 1], **{"num_classes": 10, **changes})


@pytest.mark.parametrize("validation_labels", ["clean", "noisy"])
def test_hold_out_splits_what_the_corruption_kept(validation_labels):
    whole = corrupt(imbalance="long_tail", ratio=10)
    training, validation = noise.hold_out(
        whole, LABELS, seed=1, validation_labels=validation_labels
    )
    both = np.sort(np.concatenate([training.kept, validation.kept]))
    np.testing.assert_array_equal(both, whole.kept)
    np.testing.assert_array_equal(training.labels, whole.labels[np.isin(whole.kept, training.kept)])
    true = LABELS[validation.kept]
    given = whole.labels[np.isin(whole.kept, validation.kept)]
    np.testing.assert_array_equal(
        validation.labels, true if validation_labels == "clean" else given
    )
    np.testing.assert_array_equal(validation.changed, validation.labels != true)
    share = np.bincount(true) / np.bincount(LABELS[whole.kept])
    np.testing.assert_allclose(share, 0.2, atol=0.03)
    assert training.part == "training(fraction=0.2, seed=1)"
    assert validation.part == f"validation(fraction=0.2, seed=1, labels={validation_labels})"


@pytest.mark.parametrize(("kept", "sizes"), [(2000, (1600, 400)), (0, (0, 0))])
def test_hold_out_splits_all_examples_or_none(kept, sizes):
    parts = noise.hold_out(corrupt().take(np.arange(kept), part="first"), LABELS, seed=1)
    assert tuple(part.kept.size for part in parts) == sizes


@pytest.mark.parametrize(
    "wrong", [LABELS + 0.5, LABELS + 20, (LABELS + 1) % 10, LABELS[:10], LABELS[:, None]]
)
def test_hold_out_refuses_true_labels_of_another_set(wrong):
    with pytest.raises(ValueError, match="true_labels"):
        noise.hold_out(corrupt(), wrong, seed=1)


def test_a_part_of_a_part_is_recorded_as_such():
    first, _ = noise.hold_out(corrupt(), LABELS, fraction=0.2, seed=0)
    _, second = noise.hold_out(first, LABELS, fraction=1, seed=1)
    of = "training(fraction=0.2, seed=0)"
    assert second.part == f"validation(fraction=1.0, seed=1, labels=clean) of {of}"


def test_hold_out_knows_its_labels():
    with pytest.raises(ValueError, match="unknown validation_labels 'clear'; did you mean 'clean'"):
        noise.hold_out(corrupt(), LABELS, seed=0, validation_labels="clear")


def test_transition_matrix_by_hand():
    matrix = noise.transition_matrix(np.array([0, 0, 0, 0, 1]), np.array([0, 1, 1, 1, 1]), 3)
    np.testing.assert_array_equal(matrix, [[0.25, 0.75, 0], [0, 1, 0], [0, 0, 0]])


def test_transition_matrix_checks_both_sides():
    with pytest.raises(ValueError, match="as many labels as true, 2, got 3"):
        noise.transition_matrix(np.array([0, 1]), np.array([0, 1, 1]), 2)
    with pytest.raises(ValueError, match="row 1 is 2"):
        noise.transition_matrix(np.array([0, 1]), np.array([0, 2]), 2)
