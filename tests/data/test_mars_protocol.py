"""The protocol of MARS: small files that are wrong, and the authors' own."""

import pathlib

import numpy as np
import pytest
from scipy.io import savemat

from dm_jax.data import mars_protocol
from dm_jax.data.mars_protocol import Tracklets

REAL = pathlib.Path(__file__).parents[3] / "shared" / "data" / "mars_info"
ROWS = [[1, 2, 1, 1], [3, 3, 1, 2], [4, 6, -1, 1]]
NAMES = [f"0001C1T0001F00{i}.jpg" for i in (1, 2)] + ["0001C2T0001F001.jpg"]
NAMES += [f"00-1C1T0001F00{i}.jpg" for i in (1, 2, 3)]


def tracklets(tmp_path, rows):
    savemat(tmp_path / "tracks.mat", {"track_info": np.array(rows, np.int32)})
    return mars_protocol.read_tracklets(tmp_path / "tracks.mat")


def test_rows_become_ranges_of_frames(tmp_path):
    read = tracklets(tmp_path, ROWS)
    assert list(zip(read.start.tolist(), read.stop.tolist(), strict=True)) == [
        (0, 2),
        (2, 3),
        (3, 6),
    ]
    assert read.person.tolist() == [1, 1, -1]
    assert read.camera.tolist() == [1, 2, 1]
    assert read.tracklet_of_frame.tolist() == [0, 0, 1, 2, 2, 2]
    mars_protocol.check_frames(read, NAMES, "bbox_test")


def test_rows_past_the_files_are_refused(tmp_path):
    with pytest.raises(ValueError, match="tracklet 3 ends at image 6, but bbox_test holds 5"):
        mars_protocol.check_frames(tracklets(tmp_path, ROWS), NAMES[:5], "bbox_test")


def test_images_of_another_person_or_camera_are_refused(tmp_path):
    shifted = [NAMES[0], *NAMES]
    with pytest.raises(ValueError, match="tracklet 2 is of person 1 and camera 2"):
        mars_protocol.check_frames(tracklets(tmp_path, ROWS), shifted, "bbox_test")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([[0, 2, 1, 1]], "tracklet 1 runs from 0 to 2"),
        ([[1, 2, 1, 1], [5, 4, 1, 1]], "tracklet 2 runs from 5 to 4"),
        ([[1, 2, 1]], r"\[n, 4\], got \[1, 3\]"),
    ],
)
def test_wrong_rows_are_named(tmp_path, rows, message):
    with pytest.raises(ValueError, match=message):
        tracklets(tmp_path, rows)


def test_queries_count_from_one_and_stay_among_the_tracklets(tmp_path):
    read = tracklets(tmp_path, ROWS)
    savemat(tmp_path / "query.mat", {"query_IDX": np.array([[1, 2]], np.uint16)})
    assert mars_protocol.read_queries(tmp_path / "query.mat", read).tolist() == [0, 1]
    savemat(tmp_path / "query.mat", {"query_IDX": np.array([[1, 4]], np.uint16)})
    with pytest.raises(ValueError, match=r"1 \.\. 4, but there are 3"):
        mars_protocol.read_queries(tmp_path / "query.mat", read)


def test_queries_are_of_people(tmp_path):
    read = tracklets(tmp_path, [[1, 2, 7, 1], [3, 3, -1, 2], [4, 5, 0, 1]])
    for query, person in ((2, -1), (3, 0)):
        savemat(tmp_path / "query.mat", {"query_IDX": np.array([[1, query]], np.uint16)})
        with pytest.raises(ValueError, match=f"query {query} is a tracklet of person {person}"):
            mars_protocol.read_queries(tmp_path / "query.mat", read)
    savemat(tmp_path / "query.mat", {"query_IDX": np.zeros((1, 0), np.uint16)})
    with pytest.raises(ValueError, match="holds no query"):
        mars_protocol.read_queries(tmp_path / "query.mat", read)
    savemat(tmp_path / "query.mat", {"query_IDX": np.ones((1, 1)), "other": np.ones((1, 1))})
    with pytest.raises(ValueError, match=r"query\.mat must hold one array, got 2"):
        mars_protocol.read_queries(tmp_path / "query.mat", read)
    (tmp_path / "query.mat").write_bytes(b"no matrix")
    with pytest.raises(ValueError, match=r"query\.mat cannot be read"):
        mars_protocol.read_queries(tmp_path / "query.mat", read)


@pytest.mark.data
@pytest.mark.skipif(not REAL.exists(), reason="the protocol files of MARS are not here")
def test_the_real_protocol():
    train = mars_protocol.read_tracklets(REAL / "tracks_train_info.mat")
    test = mars_protocol.read_tracklets(REAL / "tracks_test_info.mat")
    queries = mars_protocol.read_queries(REAL / "query_IDX.mat", test)
    assert (len(train), len(np.unique(train.person)), train.stop[-1]) == (8_298, 625, 509_914)
    assert (len(test), len(np.unique(test.person)), test.stop[-1]) == (12_180, 636, 681_089)
    for split in (train, test):
        assert split.start[0] == 0
        np.testing.assert_array_equal(split.start[1:], split.stop[:-1])
        mars_protocol.check_frames(split, names_of(split), "bbox")
        with pytest.raises(ValueError, match="ends at image"):
            mars_protocol.check_frames(split, names_of(split)[:-1], "bbox")
    assert len(queries) == 1_980
    assert set(test.person[:1_000]) >= {mars_protocol.JUNK}
    assert np.sum(test.person == mars_protocol.JUNK) == 870
    assert np.sum(test.person == 0) == 3_248
    assert np.all(test.person[queries] > 0)


def names_of(split: Tracklets) -> list[str]:
    """Names as the authors give them to the frames of a split."""
    return [
        f"{'00-1' if person < 0 else f'{person:04d}'}C{camera}T0001F{frame:03d}.jpg"
        for start, stop, person, camera in zip(
            split.start, split.stop, split.person, split.camera, strict=True
        )
        for frame in range(stop - start)
    ]
