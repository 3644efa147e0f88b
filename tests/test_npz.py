"""Array files: what is written is read; anything else is an error that names the file."""

import zipfile

import numpy as np
import pytest

from dm_jax import npz

ARRAYS = {"labels": np.arange(20, dtype=np.int32), "kept": np.arange(3.0)}


@pytest.fixture
def path(tmp_path):
    npz.write(tmp_path / "new" / "below" / "arrays.npz", ARRAYS)
    return tmp_path / "new" / "below" / "arrays.npz"


def test_reads_what_was_written_and_leaves_nothing_else(path):
    for name, array in npz.read(path, list(ARRAYS)).items():
        np.testing.assert_array_equal(array, ARRAYS[name], strict=True)
    assert list(path.parent.iterdir()) == [path]


def test_only_the_named_arrays_are_read(path):
    assert list(npz.read(path, ["kept"])) == ["kept"]


def test_missing_arrays_are_named(path):
    with pytest.raises(ValueError, match=r"arrays\.npz lacks the arrays: images, boxes"):
        npz.read(path, ["labels", "images", "boxes"])


def test_npy_stands_for_one_array_only(tmp_path):
    np.save(tmp_path / "one.npy", ARRAYS["labels"])
    np.testing.assert_array_equal(npz.read(tmp_path / "one.npy", ["any"])["any"], ARRAYS["labels"])
    with pytest.raises(ValueError, match=r"one\.npy lacks the arrays: labels, kept"):
        npz.read(tmp_path / "one.npy", ["labels", "kept"])


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"}", b" "),
        (b"<i4", b",i4"),
        (b"20,), }" + b" " * 28, b"9" * 30 + b",), }"),
        (b", 'fortran", b",b'fortran"),
    ],
    ids=["no end", "no type", "a huge shape", "a key of bytes"],
)
def test_a_damaged_header_is_named(tmp_path, old, new):
    np.save(tmp_path / "one.npy", ARRAYS["labels"])
    content = (tmp_path / "one.npy").read_bytes()
    assert old in content
    (tmp_path / "one.npy").write_bytes(content.replace(old, new, 1))
    with pytest.raises(ValueError, match=r"one\.npy is damaged"):
        npz.read(tmp_path / "one.npy", ["labels"])


def test_missing_file_is_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        npz.read(tmp_path / "none.npz", ["labels"])


@pytest.mark.parametrize("name", ["evil.npz", "evil.npy"])
def test_nothing_is_unpickled(tmp_path, name):
    objects = np.array([print], dtype=object)
    if name.endswith("npz"):
        np.savez(tmp_path / name, labels=objects)
    else:
        np.save(tmp_path / name, objects)
    with pytest.raises(ValueError, match="Python objects, which are not unpickled"):
        npz.read(tmp_path / name, ["labels"])


def test_what_is_no_array_is_missing(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", b"no array")
    with pytest.raises(ValueError, match=r"lacks the arrays: labels"):
        npz.read(path, ["labels"])


def test_truncations_are_refused(path):
    content = path.read_bytes()
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=r"arrays\.npz is damaged|arrays\.npz lacks"):
            npz.read(path, list(ARRAYS))


def test_a_changed_byte_never_changes_a_value(path):
    """A byte of the zip's bookkeeping may not matter; one that does is refused."""
    content, refused = path.read_bytes(), 0
    for position in range(0, len(content), 5):
        path.write_bytes(
            content[:position] + bytes([content[position] ^ 0x55]) + content[position + 1 :]
        )
        try:
            arrays = npz.read(path, list(ARRAYS))
        except ValueError:
            refused += 1
        else:
            for name, array in arrays.items():
                np.testing.assert_array_equal(array, ARRAYS[name], strict=True)
    assert refused > len(content) / 10


def test_failed_write_leaves_the_old_file(path, monkeypatch):
    def fail(file, **arrays):
        file.write(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(np, "savez_compressed", fail)
    with pytest.raises(OSError, match="disk full"):
        npz.write(path, {"labels": np.zeros(3)})
    np.testing.assert_array_equal(npz.read(path, ["labels"])["labels"], ARRAYS["labels"])
    assert list(path.parent.iterdir()) == [path]


def test_what_is_no_array_file_is_named(tmp_path):
    (tmp_path / "labels.txt").write_text("8\n6\n")
    with pytest.raises(ValueError, match=r"labels\.txt is damaged or not an \.npy or \.npz file"):
        npz.read(tmp_path / "labels.txt", ["labels"])
    with pytest.raises(IsADirectoryError, match=f"{tmp_path} is a folder"):
        npz.read(tmp_path, ["labels"])
