"""IMDB: 50,000 film reviews (Maas et al. 2011) as paragraph vectors of 100 dimensions."""

import numpy as np

from dm_jax.data import paragraph_vectors, tfds_builders
from dm_jax.data.dataset import Dataset, Split


def load(name: str = "imdb", data_dir: str | None = None) -> Dataset:
    """Loads the original split: 25,000 training and 25,000 test reviews; 0 negative, 1 positive.

    The vectors are trained on the texts of both splits, as in the paper, and cached: the first call
    takes minutes, the next a second. They use neither labels nor the unlabelled reviews of TFDS
    (`unsupervised`).

    Args:
      name: the name to give the data set.
      data_dir: where TFDS keeps `imdb_reviews`.

    Raises:
      FileNotFoundError: if `imdb_reviews` is not prepared; names the command.
      ModuleNotFoundError: if the vectors are not cached yet and gensim is not installed.
    """
    builder = tfds_builders.open_prepared("imdb_reviews", data_dir)
    train, test = builder.as_data_source(["train", "test"])
    reviews = [*train, *test]
    texts = [review["text"].decode() for review in reviews]
    labels = np.array([review["label"] for review in reviews], np.int32)
    vectors = paragraph_vectors.vectors(texts, paragraph_vectors.Settings())
    return Dataset(
        name=name,
        train=Split(vectors[: len(train)], labels[: len(train)]),
        test=Split(vectors[len(train) :], labels[len(train) :]),
        class_names=("negative", "positive"),
    )
