"""TFDS builder of MARS (Zheng et al., ECCV 2016): video person re-identification.

Frames are written tracklet after tracklet in the order of the protocol, unshuffled, so the index of
a frame determines its tracklet. The tracklets and the queries are stored as metadata.
"""

import json
import pathlib
from collections.abc import Iterator

import numpy as np
import tensorflow_datasets as tfds

from dm_jax.data import mars_protocol, tfds_builders
from dm_jax.data.mars_protocol import Tracklets

_PEOPLE = 625
_FOLDERS = {"train": "bbox_train", "test": "bbox_test"}


class Mars(tfds.core.GeneratorBasedBuilder):
    """MARS from its authors' files.

    The label of a training frame is the index of its person among the sorted training people; test
    frames show other people and have label -1.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (TFDS wants a dict here)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Get MARS and its protocol (https://github.com/liangzheng06/MARS-evaluation), so that manual_dir
    holds bbox_train/, bbox_test/ (with a folder for each person), info/tracks_train_info.mat,
    info/tracks_test_info.mat and info/query_IDX.mat.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            homepage="https://github.com/liangzheng06/MARS-evaluation",
            features=tfds.features.FeaturesDict(
                {
                    "key": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(num_classes=_PEOPLE),
                    "tracklet": np.int64,
                }
            ),
            supervised_keys=("image", "label"),
            disable_shuffling=True,
            metadata=tfds.core.MetadataDict(),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        root = pathlib.Path(dl_manager.manual_dir)
        tracklets = {
            split: mars_protocol.read_tracklets(root / "info" / f"tracks_{split}_info.mat")
            for split in _FOLDERS
        }
        queries = mars_protocol.read_queries(root / "info" / "query_IDX.mat", tracklets["test"])
        self.info.metadata["queries"] = queries.tolist()
        for split, rows in tracklets.items():
            columns = ("start", "stop", "person", "camera")
            self.info.metadata[split] = {name: getattr(rows, name).tolist() for name in columns}
        return {
            split: self._generate_examples(root / folder, tracklets[split], split)
            for split, folder in _FOLDERS.items()
        }

    def _generate_examples(
        self, folder: pathlib.Path, tracklets: Tracklets, split: str
    ) -> Iterator[tuple[int, dict]]:
        images = sorted(folder.glob("*/*.jpg"), key=lambda path: path.name)
        mars_protocol.check_frames(tracklets, [image.name for image in images], folder.name)
        people = np.unique(tracklets.person)
        labels = np.searchsorted(people, tracklets.person)
        number = 0
        for tracklet, (start, stop) in enumerate(zip(tracklets.start, tracklets.stop, strict=True)):
            for image in images[start:stop]:
                yield (
                    number,
                    {
                        "key": image.name,
                        "image": image,
                        "label": int(labels[tracklet]) if split == "train" else -1,
                        "tracklet": tracklet,
                    },
                )
                number += 1


def load_protocol(data_dir: str | None = None) -> tuple[dict[str, Tracklets], np.ndarray]:
    """The tracklets of the prepared splits, and the queries among those of the test split.

    Frame i of a split belongs to the tracklet `tracklets[split].tracklet_of_frame[i]`.

    Args:
      data_dir: where TFDS keeps "mars".

    Returns:
      ({"train": …, "test": …}, int64 [q] query tracklets, counted from 0).

    Raises:
      FileNotFoundError: if it is not prepared; names the command.
    """
    path = pathlib.Path(tfds_builders.open_prepared("mars", data_dir).data_path) / "metadata.json"
    metadata = json.loads(path.read_text())
    tracklets = {
        split: Tracklets(**{name: np.array(column, np.int32) for name, column in columns.items()})
        for split, columns in metadata.items()
        if split in _FOLDERS
    }
    return tracklets, np.array(metadata["queries"], np.int64)
