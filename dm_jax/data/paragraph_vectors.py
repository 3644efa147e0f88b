"""Paragraph vectors of texts: PV-DBOW (Le and Mikolov, arXiv 1405.4053) by gensim, cached.

Labels are not used. The cached file is named by a hash of the texts and the settings.
`Dataset.fingerprint` identifies the vectors that an experiment used.
"""

import dataclasses
import hashlib
import json
import pathlib
import re
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from tqdm import tqdm

from dm_jax.data import cache

_TOKEN = re.compile(r"\w+(?:'\w+)?|[^\w\s]")


@dataclasses.dataclass(frozen=True)
class Settings:
    """Hyperparameters of the vectors.

    Documents are shuffled once with `seed` before training: in the order of most corpora (all
    positive reviews, then all negative) the decaying step size favours those that come first. Words
    are not subsampled, and hierarchical softmax is not used. gensim's threads train without locks:
    with one worker two trainings agree bit for bit, with more they are faster but differ.
    """

    dimensions: int = 100
    negatives: int = 5
    min_count: int = 2
    epochs: int = 20
    learning_rate: float = 0.05
    final_learning_rate: float = 1e-4
    seed: int = 0
    workers: int = 1


def tokenize(text: str) -> list[str]:
    """Lower-case words, with an apostrophe inside, and single punctuation marks.

    >>> tokenize("It's <br />GREAT, isn't it?!")
    ["it's", 'great', ',', "isn't", 'it', '?', '!']
    """
    return _TOKEN.findall(text.lower().replace("<br />", " "))


def vectors(texts: Sequence[str], settings: Settings) -> np.ndarray:
    """The vector of each text, from the cache or trained now with a progress bar.

    Args:
      texts: n documents.
      settings: of the training; `Settings()` for those of the published tables.

    Returns:
      float32 [n, settings.dimensions].

    Raises:
      ValueError: if a text has no token, or the cached file is damaged.
      ModuleNotFoundError: if the vectors have to be trained and gensim is not installed.
    """
    path = cache_path(texts, settings)

    def make() -> dict[str, np.ndarray]:
        return {"vectors": _train(texts, settings)}

    return cache.cached(path, ["vectors"], make)["vectors"]


def cache_path(texts: Sequence[str], settings: Settings) -> pathlib.Path:
    """The cache file of the vectors, named by a hash of the settings and all texts."""
    sha = hashlib.sha256(json.dumps(dataclasses.asdict(settings), sort_keys=True).encode())
    for pattern in (_TOKEN.pattern, *texts):
        encoded = pattern.encode()
        sha.update(len(encoded).to_bytes(8, "little"))
        sha.update(encoded)
    return cache.directory() / "paragraph_vectors" / f"{sha.hexdigest()[:32]}.npz"


def _train(texts: Sequence[str], settings: Settings) -> np.ndarray:
    try:
        from gensim.models.doc2vec import Doc2Vec
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "training paragraph vectors needs gensim: pip install 'dm_jax[text]'"
        ) from error
    with tqdm(total=(settings.epochs + 1) * len(texts), desc="paragraph vectors") as bar:
        corpus = _Corpus(texts, settings.seed, bar)
        model = Doc2Vec(
            corpus,
            dm=0,
            vector_size=settings.dimensions,
            negative=settings.negatives,
            hs=0,
            sample=0,
            min_count=settings.min_count,
            epochs=settings.epochs,
            alpha=settings.learning_rate,
            min_alpha=settings.final_learning_rate,
            seed=settings.seed,
            workers=settings.workers,
        )
    return np.stack([model.dv[index] for index in range(len(texts))]).astype(np.float32)


class _Corpus:
    """Tokenised documents in one shuffled order, tagged by their index in `texts`."""

    def __init__(self, texts: Sequence[str], seed: int, bar: tqdm):
        # Interned: a corpus has millions of words but few different ones.
        self._documents = [[sys.intern(token) for token in tokenize(text)] for text in texts]
        empty = [index for index, tokens in enumerate(self._documents) if not tokens]
        if empty:
            raise ValueError(f"text {empty[0]} has no words and so cannot have a vector")
        self._order = np.random.Generator(np.random.PCG64(seed)).permutation(len(texts))
        self._bar = bar

    def __iter__(self) -> Iterator:
        from gensim.models.doc2vec import TaggedDocument

        for index in self._order.tolist():
            yield TaggedDocument(self._documents[index], [index])
            self._bar.update()
