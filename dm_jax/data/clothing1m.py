"""TFDS builder of Clothing1M (Xiao et al., CVPR 2015): about a million photographs of clothes.

Labels of the split "train" come from the text around the photographs, and about 38.5% of them are
wrong; those of "clean_train", "validation" and "test" come from annotators.
"""

import collections
import pathlib
import re
from collections.abc import Iterator, Mapping

import tensorflow_datasets as tfds

CLASS_NAMES = (
    "T-Shirt",
    "Shirt",
    "Knitwear",
    "Chiffon",
    "Sweater",
    "Hoodie",
    "Windbreaker",
    "Jacket",
    "Down Coat",
    "Suit",
    "Shawl",
    "Dress",
    "Vest",
    "Underwear",
)
# split -> (the list of its keys, the labels of the keys)
_SPLITS = {
    "train": ("noisy_train_key_list.txt", "noisy_label_kv.txt"),
    "clean_train": ("clean_train_key_list.txt", "clean_label_kv.txt"),
    "validation": ("clean_val_key_list.txt", "clean_label_kv.txt"),
    "test": ("clean_test_key_list.txt", "clean_label_kv.txt"),
}


class Clothing1m(tfds.core.GeneratorBasedBuilder):
    """Clothing1M from its authors' files; a key is the path of an image, "images/…"."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (TFDS wants a dict here)
    MANUAL_DOWNLOAD_INSTRUCTIONS = """
    Ask the authors for the data (https://github.com/Cysu/noisy_label) and unpack it, so that
    manual_dir holds images/, noisy_train_key_list.txt, noisy_label_kv.txt,
    clean_train_key_list.txt, clean_val_key_list.txt, clean_test_key_list.txt and
    clean_label_kv.txt.
    """

    def _info(self) -> tfds.core.DatasetInfo:
        return tfds.core.DatasetInfo(
            builder=self,
            description=__doc__,
            homepage="https://github.com/Cysu/noisy_label",
            features=tfds.features.FeaturesDict(
                {
                    "key": tfds.features.Text(),
                    "image": tfds.features.Image(shape=(None, None, 3), encoding_format="jpeg"),
                    "label": tfds.features.ClassLabel(names=CLASS_NAMES),
                }
            ),
            supervised_keys=("image", "label"),
        )

    def _split_generators(self, dl_manager: tfds.download.DownloadManager) -> dict:
        root = pathlib.Path(dl_manager.manual_dir)
        labels = {file: read_labels(root / file) for _, file in _SPLITS.values()}
        keys = {split: read_keys(root / file) for split, (file, _) in _SPLITS.items()}
        for split in ("clean_train", "validation"):
            if both := set(keys[split]) & set(keys["test"]):
                raise ValueError(f"the image {min(both)!r} is in {split} and in test")
        return {
            split: self._generate_examples(root, keys[split], labels[file])
            for split, (_, file) in _SPLITS.items()
        }

    def _generate_examples(
        self, root: pathlib.Path, keys: list[str], labels: Mapping[str, int]
    ) -> Iterator[tuple[str, dict]]:
        for key in keys:
            if key not in labels:
                raise ValueError(f"the image {key!r} has no label")
            if not (root / key).is_file():
                raise FileNotFoundError(f"the image {key!r} is not in {root}")
            yield key, {"key": key, "image": root / key, "label": labels[key]}


def read_keys(path: pathlib.Path) -> list[str]:
    """The keys of a list, one per line.

    Raises:
      ValueError: a key is there twice.
    """
    keys = [line.strip() for line in _lines(path) if line.strip()]
    if len(set(keys)) < len(keys):
        twice = next(key for key, count in collections.Counter(keys).items() if count > 1)
        raise ValueError(f"{path.name} has the key {twice!r} twice")
    return keys


def read_labels(path: pathlib.Path) -> dict[str, int]:
    """The label of each key, from lines "images/….jpg 5".

    Raises:
      ValueError: a line is not of this form, the label is not one of the 14, or differs from the
        key's label in an earlier line; names the line.
    """
    labels: dict[str, int] = {}
    for number, line in enumerate(_lines(path), start=1):
        if not line.strip():
            continue
        found = re.fullmatch(r"(\S.*?)\s+(\d+)", line.strip())
        if not found or int(found[2]) >= len(CLASS_NAMES):
            raise ValueError(
                f"{path.name}, line {number}: expected a key and a label of 0 .. "
                f"{len(CLASS_NAMES) - 1}, got {line!r}"
            )
        key, label = found[1], int(found[2])
        if labels.setdefault(key, label) != label:
            raise ValueError(
                f"{path.name}, line {number}: {key!r} has the label {labels[key]} in an "
                f"earlier line, got {line!r}"
            )
    return labels


def _lines(path: pathlib.Path) -> list[str]:
    return path.read_text(encoding="utf-8-sig").splitlines()
