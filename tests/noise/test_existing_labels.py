"""Labels that people or a file give."""

import numpy as np
import pytest

from dm_jax import noise

LABELS = np.arange(50) % 5
WORST = (LABELS + (np.arange(50) < 20)) % 5


def corrupt(kind, rate=0.0, human_labels=None):
    return noise.corrupt(LABELS, num_classes=5, kind=kind, rate=rate, human_labels=human_labels)


def test_human_labels_become_the_corruption():
    corruption = corrupt("human:worst", human_labels={"worst": WORST, "aggregate": LABELS})
    np.testing.assert_array_equal(corruption.labels, WORST)
    assert corruption.actual_rate == 0.4
    assert corruption.kind == "human:worst"


@pytest.mark.parametrize(
    ("human_labels", "message"),
    [
        (None, "needs human labels; this data set has none"),
        ({}, "needs human labels; this data set has none"),
        ({"wurst": WORST, "fine": WORST}, "human label set 'worst'; did you mean 'wurst'"),
        ({"worst": WORST[1:]}, "human:worst has 49 labels, the training set 50"),
        ({"worst": np.append(WORST, 0)}, "human:worst has 51 labels, the training set 50"),
        ({"worst": WORST + 1}, "human:worst: row 3 is 5; accepted: whole numbers from 0 to 4"),
    ],
)
def test_bad_human_labels_are_named(human_labels, message):
    with pytest.raises(ValueError, match=message):
        corrupt("human:worst", human_labels=human_labels)


@pytest.mark.parametrize("kind", ["human:worst", "file:given.npy", "matrix:given.npy"])
def test_given_labels_have_their_own_rate(kind, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("given.npy", WORST)
    with pytest.raises(ValueError, match=f"rate must be 0 for kind '{kind}'.*got 0.4"):
        corrupt(kind, rate=0.4, human_labels={"worst": WORST})


def test_file_gives_labels_and_its_folder_leaves_the_hash(tmp_path):
    np.save(tmp_path / "given.npy", WORST)
    (tmp_path / "other").mkdir()
    np.save(tmp_path / "other" / "given.npy", WORST.astype(np.float32))
    one = corrupt(f"file:{tmp_path}/given.npy")
    assert one.kind == "file:given.npy"
    assert one.hash == corrupt(f"file:{tmp_path}/other/given.npy").hash
    np.testing.assert_array_equal(one.labels, WORST)


def test_npz_file_gives_its_labels(tmp_path):
    np.savez(tmp_path / "given.npz", labels=WORST, images=np.zeros(3))
    np.testing.assert_array_equal(corrupt(f"file:{tmp_path}/given.npz").labels, WORST)


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (WORST[:9], r"given\.npy has 9 labels, the training set 50"),
        (np.where(np.arange(50) == 4, 1.5, WORST), r"given\.npy: row 4 is 1\.5"),
        (WORST[:, None], r"given\.npy must have shape \[n\], got \[50, 1\]"),
    ],
)
def test_bad_labels_in_a_file_are_named(tmp_path, labels, message):
    np.save(tmp_path / "given.npy", labels)
    with pytest.raises(ValueError, match=message):
        corrupt(f"file:{tmp_path}/given.npy")


def test_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.npy"):
        corrupt(f"file:{tmp_path}/none.npy")


def test_a_file_may_lie_in_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    np.save(tmp_path / "given.npy", WORST)
    np.testing.assert_array_equal(corrupt("file:~/given.npy").labels, WORST)
