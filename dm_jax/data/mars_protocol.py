"""The protocol of MARS (Zheng et al., ECCV 2016): the frames of each tracklet, and the queries.

Read from the authors' info/*.mat, whose rows index the sorted list of all images. The name of an
image gives its person and camera, "0001C1T0001F001.jpg", so a wrong list is detected.
"""

import dataclasses
import pathlib

import numpy as np

from dm_jax.retrieval import JUNK


@dataclasses.dataclass(frozen=True, eq=False)
class Tracklets:
    """Tracklets in the order of the protocol.

    Attributes:
      start, stop: int32 [n], frames start .. stop - 1 of the sorted list of images.
      person: int32 [n], -1 for junk, 0 for distractors.
      camera: int32 [n], from 1.
    """

    start: np.ndarray
    stop: np.ndarray
    person: np.ndarray
    camera: np.ndarray

    def __len__(self) -> int:
        return len(self.person)

    @property
    def tracklet_of_frame(self) -> np.ndarray:
        """The tracklet of each frame, int64, in the order in which the builder writes them."""
        return np.repeat(np.arange(len(self)), self.stop - self.start)


def read_tracklets(path: pathlib.Path) -> Tracklets:
    """Reads tracks_train_info.mat or tracks_test_info.mat.

    Raises:
      ValueError: its rows are not first image, last image, person, camera; names the row.
    """
    rows = _only_array(path)
    if rows.ndim != 2 or rows.shape[1] != 4:
        raise ValueError(f"{path.name} must hold an array [n, 4], got {list(rows.shape)}")
    first, last, person, camera = rows.astype(np.int32).T
    wrong = np.flatnonzero((first < 1) | (last < first))
    if wrong.size:
        row = wrong[0]
        raise ValueError(f"{path.name}: tracklet {row + 1} runs from {first[row]} to {last[row]}")
    return Tracklets(first - 1, last, person, camera)


def read_queries(path: pathlib.Path, tracklets: Tracklets) -> np.ndarray:
    """Reads query_IDX.mat: int64 [q], the query tracklets, counted from 0.

    Raises:
      ValueError: there is none, or one is not a tracklet or not of a person.
    """
    queries = _only_array(path).astype(np.int64).ravel()
    if not queries.size:
        raise ValueError(f"{path.name} holds no query")
    if queries.min() < 1 or queries.max() > len(tracklets):
        raise ValueError(
            f"{path.name} points to tracklets {queries.min()} .. {queries.max()}, "
            f"but there are {len(tracklets)}"
        )
    nobody = queries[tracklets.person[queries - 1] <= 0]
    if nobody.size:
        raise ValueError(
            f"{path.name}: the query {nobody[0]} is a tracklet of person "
            f"{tracklets.person[nobody[0] - 1]}, which is junk or a distractor"
        )
    return queries - 1


def check_frames(tracklets: Tracklets, names: list[str], what: str) -> None:
    """Checks that the images are those of the tracklets.

    Args:
      tracklets: from `read_tracklets`.
      names: sorted names of the image files.
      what: name of the images in errors, such as "bbox_test".

    Raises:
      ValueError: a tracklet ends past the images, or an image is of another person or camera.
    """
    past = np.flatnonzero(tracklets.stop > len(names))
    if past.size:
        raise ValueError(
            f"tracklet {past[0] + 1} ends at image {tracklets.stop[past[0]]}, "
            f"but {what} holds {len(names)} images"
        )
    rows = zip(tracklets.start, tracklets.stop, tracklets.person, tracklets.camera, strict=True)
    for number, (start, stop, person, camera) in enumerate(rows, start=1):
        expected = f"{'00-1' if person == JUNK else f'{person:04d}'}C{camera}"
        for name in names[start:stop]:
            if not name.startswith(expected):
                raise ValueError(
                    f"tracklet {number} is of person {person} and camera {camera} ({expected}…), "
                    f"but its image in {what} is {name}"
                )


def _only_array(path: pathlib.Path) -> np.ndarray:
    from scipy.io import loadmat

    try:
        # As a string: scipy's error would not name a missing `Path`.
        content = loadmat(str(path))
    except OSError:
        raise
    except Exception as error:  # scipy raises various ones for damaged files and newer formats
        raise ValueError(f"{path.name} cannot be read as a .mat file: {error}") from error
    arrays = [value for key, value in content.items() if not key.startswith("__")]
    if len(arrays) != 1:
        raise ValueError(f"{path.name} must hold one array, got {len(arrays)}")
    return arrays[0]
