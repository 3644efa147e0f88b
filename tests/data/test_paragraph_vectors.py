"""Paragraph vectors of a small made-up corpus."""

import dataclasses
import re
import types

import numpy as np
import pytest

from dm_jax.data import paragraph_vectors
from dm_jax.data.paragraph_vectors import Settings

SMALL = Settings(dimensions=8, epochs=60)


@pytest.fixture
def cache_directory(monkeypatch, tmp_path):
    monkeypatch.setenv("DM_JAX_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def two_topics():
    """Sixty texts, the first half about ships, the second about bread."""
    pytest.importorskip("gensim", reason="gensim is not installed")
    rng = np.random.default_rng(0)
    ships = ["sea", "sail", "harbour", "wind", "anchor", "deck"]
    bread = ["flour", "oven", "crust", "dough", "yeast", "salt"]
    return [" ".join(rng.choice(ships if i < 30 else bread, 30)) for i in range(60)]


def test_texts_of_one_topic_have_near_vectors(cache_directory, two_topics):
    vectors = paragraph_vectors.vectors(two_topics, SMALL)
    assert vectors.shape == (60, 8)
    assert vectors.dtype == np.float32
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    similarity = unit @ unit.T
    assert similarity[:30, :30].mean() > similarity[:30, 30:].mean() + 0.5


def test_vectors_are_trained_once(cache_directory, two_topics, monkeypatch):
    first = paragraph_vectors.vectors(two_topics, SMALL)
    monkeypatch.setattr(paragraph_vectors, "_train", lambda *args: pytest.fail("trained again"))
    np.testing.assert_array_equal(first, paragraph_vectors.vectors(two_topics, SMALL))
    assert len(list(cache_directory.rglob("*.npz"))) == 1


def test_training_is_reproducible(cache_directory, two_topics):
    first = paragraph_vectors.vectors(two_topics, SMALL)
    paragraph_vectors.cache_path(two_topics, SMALL).unlink()
    np.testing.assert_array_equal(first, paragraph_vectors.vectors(two_topics, SMALL))


def test_texts_are_trained_in_a_shuffled_order_and_returned_in_theirs(cache_directory, two_topics):
    with paragraph_vectors.tqdm(disable=True) as bar:
        tags = [document.tags[0] for document in paragraph_vectors._Corpus(two_topics, 0, bar)]
        others = [document.tags[0] for document in paragraph_vectors._Corpus(two_topics, 1, bar)]
    assert sorted(tags) == sorted(others) == list(range(60))
    assert 8 < sum(tag < 30 for tag in tags[:30]) < 22
    assert tags != others


def test_gensim_trains_with_every_setting(monkeypatch):
    """In the mode and with the numbers of the published tables, which no vector shows."""
    doc2vec = pytest.importorskip("gensim.models.doc2vec", reason="gensim is not installed")
    given = {}

    def untrained(corpus, **settings):
        given.update(settings)
        return types.SimpleNamespace(dv=np.zeros((2, 8)))

    monkeypatch.setattr(doc2vec, "Doc2Vec", untrained)
    paragraph_vectors._train(["one", "two"], Settings(8, 4, 3, 6, 0.04, 2e-4, 7, 5))
    assert given == {
        "dm": 0,
        "vector_size": 8,
        "negative": 4,
        "hs": 0,
        "sample": 0,
        "min_count": 3,
        "epochs": 6,
        "alpha": 0.04,
        "min_alpha": 2e-4,
        "seed": 7,
        "workers": 5,
    }


def test_a_line_break_separates_words():
    assert paragraph_vectors.tokenize("Good<br />film") == ["good", "film"]


def test_the_file_depends_on_every_text_and_setting(monkeypatch):
    texts = ["one two", "three"]
    paths = {paragraph_vectors.cache_path(texts, Settings())}
    for field in dataclasses.fields(Settings):
        value = getattr(Settings(), field.name)
        changed = dataclasses.replace(Settings(), **{field.name: value + 1})
        paths.add(paragraph_vectors.cache_path(texts, changed))
    for other in (["one", "two three"], ["three", "one two"], ["one two", "three", ""]):
        paths.add(paragraph_vectors.cache_path(other, Settings()))
    monkeypatch.setattr(paragraph_vectors, "_TOKEN", re.compile(r"\w+"))
    paths.add(paragraph_vectors.cache_path(texts, Settings()))
    assert len(paths) == 1 + len(dataclasses.fields(Settings)) + 3 + 1


def test_a_text_without_words_is_named(cache_directory, two_topics):
    with pytest.raises(ValueError, match="text 60 has no word"):
        paragraph_vectors.vectors([*two_topics, " <br /> "], SMALL)
    assert list(cache_directory.rglob("*.npz")) == []
