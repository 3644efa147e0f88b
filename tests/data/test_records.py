"""Encoded images by their place."""

import pytest

from dm_jax.data.records import Records
from dm_jax.data.stream import Batching, eval_stream


def test_examples_are_read_in_any_order(tiny_photos):
    records = Records("tiny_photos", "train", tiny_photos)
    assert (len(records), records.num_classes) == (10, 2)
    assert [records[i].label for i in (7, 2, 9)] == [1, 0, 1]
    assert records[3].key == "tiny_photos train[3] 3.jpg"
    assert len(Records("tiny_photos", "train[:30%]", tiny_photos)) == 3


def test_without_keys_an_example_is_called_by_its_place(tiny_cifar):
    assert Records("tiny_cifar", "test", tiny_cifar)[5].key == "tiny_cifar test[5]"


def test_a_copy_in_a_worker_reads_the_same(tiny_photos):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    batching = Batching(batch_size=5, resize=16, crop=16)
    records = Records("tiny_photos", "train", tiny_photos)
    with_worker = eval_stream(records, batching, workers=1)
    for batch, other in zip(eval_stream(records, batching), with_worker, strict=True):
        assert (batch["inputs"] == other["inputs"]).all()
    with_worker.close()
