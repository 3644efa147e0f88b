"""Clothing1M from generated photographs in exactly the layout of its authors."""

import numpy as np
import pytest

from dm_jax.data import tfds_builders
from dm_jax.data.records import Records
from dm_jax.data.stream import Batching, eval_stream
from tests.data.layouts import write_clothing1m

LISTS = {
    "noisy_train_key_list.txt": 6,
    "clean_train_key_list.txt": 3,
    "clean_val_key_list.txt": 2,
    "clean_test_key_list.txt": 4,
}


@pytest.fixture
def manual_dir(tmp_path):
    """Fifteen photographs; photograph i has the label i % 14, and i + 1 among the noisy ones."""
    return write_clothing1m(tmp_path / "clothing1m", LISTS)


def prepared(manual_dir):
    data_dir = str(manual_dir.parent / "tfds")
    tfds_builders.prepare("clothing1m", data_dir=data_dir, manual_dir=str(manual_dir))
    return data_dir


def test_all_splits_with_their_labels(tfds, manual_dir):
    data_dir = prepared(manual_dir)
    first = 0
    for split, count, noisy in (
        ("train", 6, 1),
        ("clean_train", 3, 0),
        ("validation", 2, 0),
        ("test", 4, 0),
    ):
        records = Records("clothing1m", split, data_dir)
        assert records.num_classes == 14
        found = {}
        for record in (records[index] for index in range(len(records))):
            number = int(record.key.split(",")[1].removesuffix(".jpg")) // 7
            original = manual_dir / record.key.split()[-1]
            assert record.image == original.read_bytes(), "files are kept byte for byte"
            found[number] = record.label
        assert found == {i: (i + noisy) % 14 for i in range(first, first + count)}
        first += count


def test_it_streams(tfds, manual_dir):
    source = Records("clothing1m", "test", prepared(manual_dir))
    batches = list(eval_stream(source, Batching(batch_size=3, resize=16, crop=14)))
    shades = np.concatenate([b["inputs"][b["where"]] for b in batches]).mean(axis=(1, 2, 3))
    labels = np.concatenate([b["labels"][b["where"]] for b in batches])
    np.testing.assert_allclose(np.sort(shades), 9 * np.arange(11, 15), atol=2)
    assert sorted(labels) == [0, 11, 12, 13]


@pytest.mark.parametrize(
    ("file", "line", "message"),
    [
        ("clean_label_kv.txt", "images/0/00/x.jpg 14\n", "line 10.*0 .. 13.*x.jpg 14"),
        ("clean_label_kv.txt", "images/0/00/x.jpg\n", "line 10.*expected a key and a label"),
        ("clean_test_key_list.txt", "images/0/00/x.jpg\n", "'images/0/00/x.jpg' has no label"),
    ],
)
def test_wrong_lists_are_named(tfds, manual_dir, file, line, message):
    with (manual_dir / file).open("a") as lines:
        lines.write(line)
    with pytest.raises(ValueError, match=message):
        prepared(manual_dir)


def test_lists_that_contradict_each_other_are_refused(tfds, manual_dir):
    key = (manual_dir / "clean_test_key_list.txt").read_text().split()[0]
    labels = manual_dir / "clean_label_kv.txt"
    before = labels.read_text()
    label = dict(line.rsplit(" ", 1) for line in before.splitlines())[key]
    labels.write_text(f"{before}{key} {(int(label) + 1) % 14}\n")
    with pytest.raises(ValueError, match=f"{key}' has the label {label} in an earlier line"):
        prepared(manual_dir)
    labels.write_text(f"\ufeff{before}\n{key}\t{label}\n")  # harmless
    for file, message in (
        ("clean_test_key_list.txt", "has the key .* twice"),
        ("clean_train_key_list.txt", "is in clean_train and in test"),
        ("clean_val_key_list.txt", "is in validation and in test"),
    ):
        kept = (manual_dir / file).read_text()
        (manual_dir / file).write_text(f"{kept}{key}\n")
        with pytest.raises(ValueError, match=message):
            prepared(manual_dir)
        (manual_dir / file).write_text(kept)
    assert prepared(manual_dir)


def test_a_missing_image_is_named(tfds, manual_dir):
    key = (manual_dir / "clean_val_key_list.txt").read_text().split()[0]
    (manual_dir / key).unlink()
    with pytest.raises(FileNotFoundError, match=key):
        prepared(manual_dir)


def test_missing_files_are_named(tfds, manual_dir):
    (manual_dir / "noisy_label_kv.txt").unlink()
    with pytest.raises(FileNotFoundError, match=r"noisy_label_kv\.txt"):
        prepared(manual_dir)
