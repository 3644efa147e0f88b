"""IMDB as paragraph vectors: a small stand-in always, the real reviews where they lie."""

import inspect

import numpy as np
import pytest

from dm_jax import data
from dm_jax.data import imdb, paragraph_vectors, tfds_builders


class _Reviews:
    """A TFDS builder that holds a few reviews."""

    def as_data_source(self, splits):
        assert splits == ["train", "test"], "the unlabelled reviews must stay out"
        train = [{"text": b"good film", "label": 1}, {"text": b"bad film", "label": 0}]
        return train, [{"text": "très good".encode(), "label": 1}]


def test_only_the_texts_reach_the_vectors(monkeypatch):
    seen = []

    def vectors(texts, settings):
        seen.extend(texts)
        return np.arange(len(texts) * settings.dimensions, dtype=np.float32).reshape(len(texts), -1)

    monkeypatch.setattr(tfds_builders, "open_prepared", lambda name, data_dir: _Reviews())
    monkeypatch.setattr(paragraph_vectors, "vectors", vectors)
    loaded = imdb.load()
    assert seen == ["good film", "bad film", "très good"]
    assert loaded.train.labels.tolist() == [1, 0]
    assert loaded.test.labels.tolist() == [1]
    assert loaded.test.inputs[0, 0] == 200
    assert "labels" not in inspect.signature(paragraph_vectors.vectors).parameters


@pytest.mark.data
@pytest.mark.long
def test_a_linear_classifier_on_the_real_reviews():
    """Makes the vectors first, which takes minutes, where they are not in the cache yet."""
    try:
        tfds_builders.open_prepared("imdb_reviews")
    except FileNotFoundError as error:
        pytest.skip(str(error))
    pytest.importorskip("gensim", reason="gensim is in the extra 'text'")
    from sklearn.linear_model import LogisticRegression

    reviews = data.load("imdb")
    for split in (reviews.train, reviews.test):
        assert split.inputs.shape == (25_000, 100)
        assert np.bincount(split.labels).tolist() == [12_500, 12_500]
    model = LogisticRegression(max_iter=1000).fit(reviews.train.inputs, reviews.train.labels)
    assert model.score(reviews.test.inputs, reviews.test.labels) >= 0.885
