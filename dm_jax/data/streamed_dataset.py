"""Data sets too large for memory: their images, classes and tests."""

import dataclasses
from collections.abc import Mapping
from typing import ClassVar

import numpy as np

from dm_jax.data import tfds_builders
from dm_jax.data.mars_protocol import Tracklets
from dm_jax.data.records import Records
from dm_jax.data.stream import Source

_FAMILY = "stream:"


@dataclasses.dataclass(frozen=True, eq=False)
class RetrievalTest:
    """A retrieval test: find the tracklets in the gallery that show the person of a query.

    Attributes:
      frames: images, tracklet after tracklet.
      tracklets: tracklets of the frames; all of them form the gallery.
      queries: int64 [q], indices of the query tracklets.
    """

    frames: Source
    tracklets: Tracklets
    queries: np.ndarray


@dataclasses.dataclass(frozen=True, eq=False)
class StreamedDataset:
    """A data set that is read image by image.

    Attributes:
      name: the name it was loaded by.
      train: the training images and their labels.
      held_out: name -> images whose classes are predicted ("validation", "test").
      class_names: [num_classes] strings.
      retrieval_test: of MARS; None for other data sets.
      mean, std: float32 [3], per channel, of ImageNet's training images over 255, for every data
        set: pretrained weights expect them.
    """

    name: str
    train: Source
    held_out: Mapping[str, Source]
    class_names: tuple[str, ...]
    retrieval_test: RetrievalTest | None = None

    mean: ClassVar[np.ndarray] = np.array([0.485, 0.456, 0.406], np.float32)
    std: ClassVar[np.ndarray] = np.array([0.229, 0.224, 0.225], np.float32)

    @property
    def num_classes(self) -> int:
        """Number of classes; labels are in 0 .. num_classes - 1."""
        return len(self.class_names)

    @property
    def fingerprint(self) -> str:
        """Name and size of the training set, as its images are not all read at the start."""
        return f"{self.name}, {len(self.train)} images"


def is_streamed(name: str) -> bool:
    """Whether the name is that of a streamed data set: "clothing1m", "mars" or "stream:NAME"."""
    return name in tfds_builders.OWN_BUILDERS or (name.startswith(_FAMILY) and name != _FAMILY)


def load(name: str, *, data_dir: str | None = None) -> StreamedDataset:
    """Opens a data set; no image is read yet.

    Args:
      name: "clothing1m", "mars", or "stream:NAME" for any image classification data set of TFDS,
        whose splits "validation" and "test" are held out. If "test" is missing or its labels are
        secret (-1, as in ImageNet), "validation" is the test set.
      data_dir: where TFDS keeps prepared data; $TFDS_DATA_DIR or ~/tensorflow_datasets if None.

    Raises:
      FileNotFoundError: it is not prepared; names the command.
      ValueError: TFDS does not know it, or it is not an image classification data set.
    """
    if not is_streamed(name):
        raise ValueError(
            f"{name!r} is not streamed; load it with dm_jax.data.load, or stream any image "
            "classification data set of TFDS by the name 'stream:NAME'"
        )
    source = name.removeprefix(_FAMILY)
    train = Records(source, "train", data_dir)
    if source == "mars":
        return StreamedDataset(name, train, {}, train.class_names, _mars_retrieval_test(data_dir))
    splits = tfds_builders.open_prepared(source, data_dir).info.splits
    names = [split for split in ("validation", "test") if split in splits]
    held_out = {split: Records(source, split, data_dir) for split in names}
    if "test" in held_out and held_out["test"][0].label < 0:
        del held_out["test"]
    if "test" not in held_out and held_out:
        held_out = {"test": held_out["validation"]}
    return StreamedDataset(name, train, held_out, train.class_names)


def _mars_retrieval_test(data_dir: str | None) -> RetrievalTest:
    # Imported here, as this module imports TFDS, which other data sets do not need.
    from dm_jax.data import mars

    tracklets, queries = mars.load_protocol(data_dir)
    return RetrievalTest(Records("mars", "test", data_dir), tracklets["test"], queries)
