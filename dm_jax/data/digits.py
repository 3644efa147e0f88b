"""scikit-learn's handwritten digits: 1,797 images of 8 x 8 that come with the package."""

import numpy as np

from dm_jax.data.dataset import Dataset, Split
from dm_jax.split import stratified_split


def load(name: str = "digits", data_dir: str | None = None) -> Dataset:
    """Loads the digits: 1,438 training and 359 test images, uint8 [n, 8, 8, 1].

    The test set is a fifth of each class, drawn with seed 0, the same on every platform. The grey
    values 0 .. 16 are scaled to 0 .. 255 and rounded.

    Args:
      name: the name to give the data set.
      data_dir: not used; the images are part of scikit-learn.
    """
    from sklearn.datasets import load_digits

    digits = load_digits()
    images = np.round(digits.images[..., None] * (255 / 16)).astype(np.uint8)
    labels = digits.target.astype(np.int32)
    train, test = stratified_split(labels, fraction=0.2, seed=0)
    return Dataset(
        name=name,
        train=Split(images[train], labels[train]),
        test=Split(images[test], labels[test]),
        class_names=tuple("0123456789"),
    )
