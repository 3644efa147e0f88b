"""TFDS data sets of small images, decoded into arrays once and cached."""

import hashlib
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from tqdm import tqdm

from dm_jax.data import cache, tfds_builders
from dm_jax.data.dataset import Dataset, Split
from dm_jax.labels import as_labels

_CHUNK = 1000


def load(name: str, data_dir: str | None = None) -> Dataset:
    """Loads a prepared TFDS data set with one label per image and images of one size.

    Uses the splits "train" and "test", or "validation" if there is no "test".

    Args:
      name: TFDS name: "mnist", "eurosat/rgb".
      data_dir: where TFDS keeps it.

    Raises:
      FileNotFoundError: it is not prepared; names the command.
      ValueError: TFDS does not know it, or it is not an image classification data set.
    """
    builder = tfds_builders.open_prepared(name, data_dir)
    image, label = tfds_builders.supervised_features(builder)
    held_out = "test" if "test" in builder.info.splits else "validation"
    class_names = tuple(builder.info.features[label].names)
    num_classes = len(class_names)

    def load_split(split: str) -> Split:
        columns = load_arrays(builder, split, [image, label])
        return Split(columns[image], as_labels(columns[label], num_classes))

    return Dataset(f"tfds:{name}", load_split("train"), load_split(held_out), class_names)


def load_arrays(builder: Any, split: str, features: Sequence[str]) -> dict[str, np.ndarray]:
    """The features of all examples of a split as arrays, images decoded.

    The examples are ordered by their "id" if the data set has one (CIFAR: the original order), else
    as TFDS wrote them. Decoding 60,000 small images takes about ten seconds; the arrays are cached
    and later read in less than one.

    Args:
      builder: from `tfds_builders.open_prepared`.
      split: name of a split.
      features: names of features of fixed shape, such as "image" and "label".

    Returns:
      feature -> array [n, ...].

    Raises:
      ValueError: there is no such split or feature, the images differ in shape, or the cached file
        is damaged.
    """
    _check_names(builder, split, features)
    path = _cache_path(builder, split, features)
    return cache.cached(path, features, lambda: _decode(builder, split, features))


def _check_names(builder: Any, split: str, features: Sequence[str]) -> None:
    if split not in builder.info.splits:
        raise ValueError(f"{builder.name} has no split {split!r}: {', '.join(builder.info.splits)}")
    for feature in features:
        if feature not in builder.info.features:
            known = ", ".join(builder.info.features)
            raise ValueError(f"{builder.name} has no feature {feature!r}: {known}")
        if None in builder.info.features[feature].shape:
            raise ValueError(
                f"the {feature}s of {builder.name} differ in shape, so they do not fit into one "
                "array; stream them (dm_jax.data.stream)"
            )


def _decode(builder: Any, split: str, features: Sequence[str]) -> dict[str, np.ndarray]:
    source = builder.as_data_source(split)
    wanted = [*features, "id"] if "id" in builder.info.features else features
    rows: dict[str, list] = {feature: [] for feature in wanted}
    for first in tqdm(range(0, len(source), _CHUNK), desc=f"decoding {builder.name} {split}"):
        chunk = range(first, min(first + _CHUNK, len(source)))
        for example in source.__getitems__(list(chunk)):
            for feature in wanted:
                rows[feature].append(example[feature])
    arrays = {feature: np.stack(rows[feature]) for feature in features}
    if "id" not in rows:
        return arrays
    order = np.argsort(np.array(rows["id"]), kind="stable")
    return {feature: array[order] for feature, array in arrays.items()}


def _cache_path(builder: Any, split: str, features: Sequence[str]) -> pathlib.Path:
    """The cache file, named by a hash of its content and of the prepared files' sizes and dates."""
    sha = hashlib.sha256(" ".join([split, *features]).encode())
    for file in sorted(builder.info.splits[split].filepaths):
        stat = pathlib.Path(file).stat()
        sha.update(f"{file} {stat.st_size} {stat.st_mtime_ns}\n".encode())
    name = builder.info.full_name.replace("/", "-")
    return cache.directory() / "decoded" / f"{name}-{split}-{sha.hexdigest()[:16]}.npz"
