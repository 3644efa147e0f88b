"""MARS from generated frames in exactly the layout of its authors."""

import pytest

from dm_jax.data import tfds_builders
from dm_jax.data.records import Records
from tests.data.layouts import write_mars

# person, camera, frames
TRAIN = [(1, 1, 2), (1, 2, 1), (7, 1, 3)]
TEST = [(-1, 1, 1), (0, 2, 2), (2, 1, 2), (2, 3, 1)]


@pytest.fixture
def manual_dir(tmp_path):
    return write_mars(tmp_path / "mars", TRAIN, TEST, [3])


def prepared(manual_dir):
    data_dir = str(manual_dir.parent / "tfds")
    tfds_builders.prepare("mars", data_dir=data_dir, manual_dir=str(manual_dir))
    return data_dir


def test_frames_keep_the_order_of_the_protocol(tfds, manual_dir):
    from dm_jax.data import mars

    data_dir = prepared(manual_dir)
    tracklets, queries = mars.load_protocol(data_dir)
    for split, rows in (("train", TRAIN), ("test", TEST)):
        records = Records("mars", split, data_dir)
        of_frame = tracklets[split].tracklet_of_frame
        assert len(records) == len(of_frame) == sum(frames for _, _, frames in rows)
        for index, tracklet in enumerate(of_frame):
            person, camera, _ = rows[tracklet]
            folder = "00-1" if person < 0 else f"{person:04d}"
            assert f"{folder}C{camera}T" in records[index].key
    assert tracklets["test"].person.tolist() == [-1, 0, 2, 2]
    assert tracklets["test"].camera.tolist() == [1, 2, 1, 3]
    assert queries.tolist() == [2]


def test_training_people_are_numbered_and_test_people_are_not(tfds, manual_dir):
    data_dir = prepared(manual_dir)
    train, test = (Records("mars", split, data_dir) for split in ("train", "test"))
    assert [train[i].label for i in range(6)] == [0, 0, 0, 1, 1, 1]
    assert {test[i].label for i in range(6)} == {-1}
    assert train.num_classes == 625


def test_a_protocol_that_points_past_the_files_is_refused(tfds, manual_dir):
    (manual_dir / "bbox_test/0002/0002C3T0004F001.jpg").unlink()
    with pytest.raises(ValueError, match="tracklet 4 ends at image 6, but bbox_test holds 5"):
        prepared(manual_dir)
