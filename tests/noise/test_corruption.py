"""A corruption survives its file, and a file that is not one is refused."""

import dataclasses

import numpy as np
import pytest

from dm_jax import noise, npz

LABELS = np.arange(1000) % 10


@pytest.fixture
def corruption():
    return noise.corrupt(LABELS, num_classes=10, rate=0.4, seed=3, imbalance="step", ratio=4)


@pytest.fixture
def path(corruption, tmp_path):
    corruption.save(tmp_path / "corruption.npz")
    return tmp_path / "corruption.npz"


def test_a_corruption_is_printed_in_a_line(corruption):
    part = corruption.take([0, 1], part="training(fraction=0.2)").cleaned(LABELS[:2])
    assert repr(part) == (
        "Corruption(symmetric, rate 0.4, seed 3, imbalance step 4, training(fraction=0.2): 0.0% of "
        "2 labels wrong)"
    )
    assert repr(corruption.take([], part="all")).endswith("imbalance step 4: no labels)")


def test_save_and_load_give_the_same_corruption(corruption, path):
    loaded = noise.Corruption.load(path)
    assert loaded.hash == corruption.hash
    for field in dataclasses.fields(corruption):
        np.testing.assert_array_equal(
            getattr(loaded, field.name), getattr(corruption, field.name), strict=True
        )


def test_every_field_enters_the_hash(corruption):
    other = {
        "labels": corruption.labels[::-1],
        "kept": corruption.kept + 1,
        "changed": ~corruption.changed,
        "kind": "pair",
        "rate": 0.41,
        "seed": 4,
        "imbalance": "long_tail",
        "ratio": 5.0,
        "part": "training",
    }
    assert set(other) == {field.name for field in dataclasses.fields(corruption)}
    hashes = {dataclasses.replace(corruption, **{k: v}).hash for k, v in other.items()}
    assert len(hashes | {corruption.hash}) == len(other) + 1


def test_arrays_cannot_be_written_to(corruption):
    with pytest.raises(ValueError, match="read-only"):
        corruption.labels[0] = 1


def test_a_corruption_has_arrays_of_its_own(corruption):
    labels = corruption.labels.copy()
    other = dataclasses.replace(corruption, labels=labels)
    labels[0] += 1
    assert other.hash == corruption.hash


def test_whole_numbers_hash_as_the_floats_that_they_are(corruption):
    whole = dataclasses.replace(corruption, rate=1, ratio=5)
    assert whole.hash == dataclasses.replace(corruption, rate=1.0, ratio=5.0).hash


def test_arrays_of_different_lengths_are_refused(corruption):
    with pytest.raises(ValueError, match=r"changed must have shape \[625\]"):
        dataclasses.replace(corruption, changed=corruption.changed[1:])


def test_altered_labels_are_refused(path):
    arrays = npz.read(path, ["labels", "kept", "changed", "facts", "hash"])
    arrays["labels"][7] ^= 1
    npz.write(path, arrays)
    with pytest.raises(ValueError, match=r"corruption\.npz was altered"):
        noise.Corruption.load(path)


def test_truncated_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-10])
    with pytest.raises(ValueError, match=r"corruption\.npz is damaged"):
        noise.Corruption.load(path)


@pytest.mark.parametrize("facts", ["{}", "[]", "no json", '{"kind": "pair", "colour": "red"}'])
def test_foreign_facts_are_refused(path, facts):
    arrays = npz.read(path, ["labels", "kept", "changed", "hash"])
    npz.write(path, {**arrays, "facts": np.array(facts)})
    with pytest.raises(ValueError, match=r"corruption\.npz is not a saved corruption"):
        noise.Corruption.load(path)


def test_other_array_file_is_refused(tmp_path):
    np.savez(tmp_path / "other.npz", labels=LABELS)
    with pytest.raises(ValueError, match="lacks the arrays: kept, changed, facts, hash"):
        noise.Corruption.load(tmp_path / "other.npz")


def test_an_empty_corruption_has_rate_zero(corruption):
    assert corruption.take(np.arange(0), part="none").actual_rate == 0.0


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"labels": np.full(625, 0.7)}, TypeError, "labels must be integers, got float64"),
        ({"changed": np.ones(625, int)}, TypeError, "changed must be bool, got int64"),
        (
            {"labels": np.full(625, 2**32)},
            ValueError,
            "labels must fit int32, got 4294967296",
        ),
        ({"kept": np.arange(625)[::-1]}, ValueError, "kept must be ascending"),
        ({"kept": np.arange(625) - 1}, ValueError, "kept must be ascending indices from 0 on"),
    ],
)
def test_arrays_that_cannot_be_are_refused(corruption, changes, error, words):
    with pytest.raises(error, match=words):
        dataclasses.replace(corruption, **changes)
