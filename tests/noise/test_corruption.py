"""A corruption survives its file, and a file that is not one is refused."""

import dataclasses

import numpy as np
import pytest

from dm_jax import noise

LABELS = np.arange(1000) % 10


@pytest.fixture
def corruption():
    return noise.corrupt(LABELS, num_classes=10, rate=0.4, seed=3, imbalance="step", ratio=4)


def test_save_and_load_give_the_same_corruption(corruption, tmp_path):
    corruption.save(tmp_path / "run" / "corruption.npz")
    loaded = noise.Corruption.load(tmp_path / "run" / "corruption.npz")
    assert loaded.hash == corruption.hash
    for field in dataclasses.fields(corruption):
        np.testing.assert_array_equal(
            getattr(loaded, field.name), getattr(corruption, field.name), strict=True
        )
    assert [p.name for p in (tmp_path / "run").iterdir()] == ["corruption.npz"]


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


def test_arrays_of_different_lengths_are_refused(corruption):
    with pytest.raises(ValueError, match=r"changed must have shape \[625\]"):
        dataclasses.replace(corruption, changed=corruption.changed[1:])


@pytest.mark.parametrize("keep", [0, 10, 200, -10])
def test_truncated_file_is_refused(corruption, tmp_path, keep):
    path = tmp_path / "corruption.npz"
    corruption.save(path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ValueError, match=r"corruption\.npz is "):
        noise.Corruption.load(path)


def test_altered_labels_are_refused(corruption, tmp_path):
    path = tmp_path / "corruption.npz"
    corruption.save(path)
    with np.load(path) as file:
        arrays = dict(file)
    arrays["labels"][7] ^= 1
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"corruption\.npz was altered"):
        noise.Corruption.load(path)


def test_flipped_byte_is_refused(corruption, tmp_path):
    path = tmp_path / "corruption.npz"
    corruption.save(path)
    content = bytearray(path.read_bytes())
    content[100] ^= 255
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"corruption\.npz is "):
        noise.Corruption.load(path)


def test_missing_array_is_named(corruption, tmp_path):
    path = tmp_path / "corruption.npz"
    corruption.save(path)
    with np.load(path) as file:
        arrays = {name: file[name] for name in file if name != "kept"}
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match="kept"):
        noise.Corruption.load(path)


def test_nothing_is_unpickled(tmp_path):
    path = tmp_path / "evil.npz"
    np.savez(path, labels=np.array([print], dtype=object))
    with pytest.raises(ValueError, match="allow_pickle=False"):
        noise.Corruption.load(path)


def test_plain_array_file_is_refused(tmp_path):
    np.save(tmp_path / "labels.npy", LABELS)
    with pytest.raises(ValueError, match=r"labels\.npy lacks the arrays: labels, kept"):
        noise.Corruption.load(tmp_path / "labels.npy")


def test_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        noise.Corruption.load(tmp_path / "none.npz")


def test_failed_save_leaves_the_old_file(corruption, tmp_path, monkeypatch):
    path = tmp_path / "corruption.npz"
    corruption.save(path)

    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        corruption.save(path)
    assert noise.Corruption.load(path).hash == corruption.hash
    assert len(list(tmp_path.iterdir())) == 1
