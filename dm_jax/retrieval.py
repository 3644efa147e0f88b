"""Retrieval scores of MARS (video person re-identification): CMC-k and mean average precision.

A query tracklet is compared with every gallery tracklet by cosine similarity:

- gallery entries of the query's own identity **and** camera are left out: finding them shows
  nothing;
- junk (identity -1) is left out: it counts neither as right nor as wrong;
- distractors (identity 0) are kept as wrong answers.

A query whose identity no other camera saw has no true match and does not count.

**Ties.** The scores are expectations over all orders of tied entries, so that neither the order of
the gallery nor the sort matters. Similarities are computed in float64 and tie if they round to the
same multiple of 2^-23; so copies of a tracklet tie, however the matrix product rounds.

Average precision is the mean of the precisions at the true matches (no interpolation).
"""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from dm_jax import errors

JUNK = -1
_LEVELS = 2.0**23  # float32 holds whole numbers up to 2^24
_BLOCK = 256  # queries ranked at a time, to bound the memory: 25 MB of similarities on MARS


@dataclasses.dataclass(frozen=True)
class RetrievalScores:
    """Scores of a set of queries, as fractions in [0, 1].

    Attributes:
      cmc: by rank k, the share of queries with a true match among the first k.
      mean_average_precision: mean over the queries of the average precision.
      num_queries: number of queries.
      num_valid: number of queries with a true match in the gallery; the scores are means over
        these.
    """

    cmc: dict[int, float]
    mean_average_precision: float
    num_queries: int
    num_valid: int


def tracklet_features(
    frame_features: np.ndarray, tracklet_ids: np.ndarray, num_tracklets: int
) -> np.ndarray:
    """The feature of each tracklet: the mean of its frames' features, L2-normalised.

    Args:
      frame_features: [n, d] float.
      tracklet_ids: [n] int, the tracklet of each frame, in [0, num_tracklets).
      num_tracklets: number of tracklets.

    Returns:
      [num_tracklets, d] float32 with rows of unit norm; a row is zero if its mean is.

    Raises:
      ValueError: shapes that do not match, an id out of range, a tracklet without frames, a
        feature that is not finite, or a num_tracklets below 1.
      TypeError: features that are not real numbers, ids or num_tracklets that are not integers.

    >>> tracklet_features(np.array([[1.0, 0.0], [2.0, 4.0], [0.0, 2.0]]), np.array([1, 0, 1]), 2)
    array([[0.4472136, 0.8944272],
           [0.4472136, 0.8944272]], dtype=float32)
    """
    features = _features("frame_features", frame_features)
    errors.check_integer("num_tracklets", num_tracklets, minimum=1)
    ids = _integers("tracklet_ids", tracklet_ids, len(features))
    outside = np.flatnonzero((ids < 0) | (ids >= num_tracklets))
    if outside.size:
        raise ValueError(
            f"tracklet_ids must be in [0, {num_tracklets}), "
            f"got {ids[outside[0]]} at frame {outside[0]}"
        )
    counts = np.bincount(ids, minlength=num_tracklets)
    if not counts.all():
        raise ValueError(f"tracklet {np.argmin(counts)} has none of the {len(ids)} frames")
    if np.any(ids[1:] < ids[:-1]):
        order = np.argsort(ids, kind="stable")
        features = features[order]
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    sums = np.add.reduceat(features, starts, axis=0, dtype=np.float64)
    return _unit_rows(sums).astype(np.float32)  # the mean has the direction of the sum


def evaluate(
    query_features: np.ndarray,
    query_ids: np.ndarray,
    query_cameras: np.ndarray,
    gallery_features: np.ndarray,
    gallery_ids: np.ndarray,
    gallery_cameras: np.ndarray,
    *,
    ranks: Sequence[int] = (1, 5, 10, 20),
) -> RetrievalScores:
    """CMC at the given ranks and mAP of the queries against the gallery, by cosine similarity.

    Args:
      query_features: [q, d] float, of any norm: they are normalised here.
      query_ids: [q] int, above 0.
      query_cameras: [q] int.
      gallery_features: [g, d] float.
      gallery_ids: [g] int; 0 for a distractor, -1 for junk.
      gallery_cameras: [g] int.
      ranks: the k of CMC-k, above 0.

    Returns:
      The scores: CMC-k by k, mAP and the numbers of queries.

    Raises:
      ValueError: shapes that do not match, an identity or rank out of range, features that are not
        finite, or no query with a true match.
      TypeError: features that are not real numbers, identities or cameras that are not integers.
    """
    queries = _features("query_features", query_features)
    gallery = _features("gallery_features", gallery_features, width=queries.shape[1])
    query_ids = _integers("query_ids", query_ids, len(queries), minimum=1)
    query_cameras = _integers("query_cameras", query_cameras, len(queries))
    gallery_ids = _integers("gallery_ids", gallery_ids, len(gallery), minimum=JUNK)
    gallery_cameras = _integers("gallery_cameras", gallery_cameras, len(gallery))
    _check_ranks(ranks)

    queries, gallery = _unit_rows(queries), _unit_rows(gallery)
    precisions, hits = [], []
    for first in range(0, len(queries), _BLOCK):
        block = slice(first, first + _BLOCK)
        similarity = np.rint(queries[block] @ gallery.T * _LEVELS).astype(np.float32)
        same = query_ids[block, None] == gallery_ids
        allowed = ~(same & (query_cameras[block, None] == gallery_cameras)) & (gallery_ids != JUNK)
        precision, hit = _score(similarity, same & allowed, allowed, min(max(ranks), len(gallery)))
        precisions.append(precision)
        hits.append(hit)
    return _mean(np.concatenate(precisions), np.concatenate(hits), ranks)


def _mean(precision: np.ndarray, hit: np.ndarray, ranks: Sequence[int]) -> RetrievalScores:
    """Means over the queries that have a true match (a precision that is not NaN)."""
    valid = ~np.isnan(precision)
    if not valid.any():
        raise ValueError(
            f"none of the {len(precision)} queries has a true match in the gallery, its identity "
            "seen by another camera"
        )
    cmc = hit[valid].mean(axis=0)
    return RetrievalScores(
        cmc={int(rank): float(cmc[min(rank, len(cmc)) - 1]) for rank in ranks},
        mean_average_precision=float(precision[valid].mean()),
        num_queries=len(precision),
        num_valid=int(valid.sum()),
    )


def _score(
    similarity: np.ndarray, right: np.ndarray, allowed: np.ndarray, depth: int
) -> tuple[np.ndarray, np.ndarray]:
    """Expected average precision [b] and hit rate within the first 1..depth [b, depth].

    All arguments but `depth` are [b, g]. Without a true match the precision is NaN.
    """
    query, before, right_before, size, num_right = _tied_groups(similarity, right, allowed)
    total = right.sum(axis=1)

    # A group of n ties, r of them right, after `before` entries: a true match has each rank
    # i = 1..n with probability 1/n, after (i - 1)(r - 1)/(n - 1) other right ones on average, and
    # 1/(before + i) sums to a difference of harmonic numbers.
    harmonic = np.concatenate([[0.0], np.cumsum(1.0 / np.arange(1, similarity.shape[1] + 1))])
    span = harmonic[before + size] - harmonic[before]
    others = (num_right - 1) / np.maximum(size - 1, 1)
    gained = (right_before + 1) * span + others * (size - (before + 1) * span)
    summed = np.bincount(query, weights=num_right / size * gained, minlength=len(total))
    precision = np.where(total > 0, summed / np.maximum(total, 1), np.nan)

    first = right_before == 0
    hit = np.zeros((len(total), depth))
    hit[query[first]] = _hit_rate(before[first], size[first], num_right[first], depth)
    return precision, hit


def _tied_groups(
    similarity: np.ndarray, right: np.ndarray, allowed: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Runs of equal similarity with a true match, most similar first within each query.

    Returns arrays [groups]: the query, the number of entries before the run and of right ones among
    them, the number of entries in the run and of right ones among these.
    """
    width = similarity.shape[1]
    # Left-out entries rank last, in a run without a true match.
    distance = np.where(allowed, -similarity, np.inf)
    order = np.argsort(distance, axis=1)
    ranked = np.take_along_axis(distance, order, axis=1)
    ranked_right = np.take_along_axis(right, order, axis=1)

    begins = np.ones(ranked.shape, bool)
    begins[:, 1:] = ranked[:, 1:] != ranked[:, :-1]
    starts = np.flatnonzero(begins)
    size = np.diff(starts, append=ranked.size)
    num_right = np.add.reduceat(ranked_right.ravel(), starts, dtype=np.int64)
    right_so_far = np.cumsum(ranked_right, axis=1).ravel()
    right_before = right_so_far[starts] - ranked_right.ravel()[starts]

    holds = num_right > 0
    query, before = np.divmod(starts[holds], width)
    return query, before, right_before[holds], size[holds], num_right[holds]


def _hit_rate(
    before: np.ndarray, size: np.ndarray, num_right: np.ndarray, depth: int
) -> np.ndarray:
    """Probability of a true match among the first k = 1..depth entries, [queries, depth].

    The first run with a true match is drawn without replacement: if all earlier draws missed, the
    j-th draw (from 0) misses with probability (wrong - j)/(size - j).
    """
    drawn = np.arange(depth) - before[:, None]
    size, num_right = size[:, None], num_right[:, None]
    inside = (drawn >= 0) & (drawn < size)
    misses = np.maximum(size - num_right - drawn, 0) / np.where(inside, size - drawn, 1)
    return 1.0 - np.cumprod(np.where(inside, misses, 1.0), axis=1)


def _unit_rows(rows: np.ndarray) -> np.ndarray:
    """Rows scaled to unit norm, float64; zero rows stay zero."""
    rows = rows.astype(np.float64)
    scale = np.max(np.abs(rows), axis=1, keepdims=True)  # squares must neither over- nor underflow
    rows /= np.where(scale > 0, scale, 1.0)
    length = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.where(length > 0, length, 1.0)


def _features(name: str, value: np.ndarray, width: int | None = None) -> np.ndarray:
    value = np.asarray(value)
    if value.dtype.kind in "OSUMmc":  # objects, texts, dates, complex numbers
        raise TypeError(f"{name} must be an array of real numbers, got {value.dtype}")
    if value.ndim != 2 or 0 in value.shape or width not in (None, value.shape[1]):
        accepted = f"[n, {width or 'd'}], not empty"
        raise ValueError(f"{name} must be {accepted}, got {list(value.shape)}")
    errors.check_finite(name, value)
    return value


def _check_ranks(ranks: Any) -> None:
    integers = np.ndim(ranks) == 1 and all(
        isinstance(rank, numbers.Integral) and not isinstance(rank, bool) for rank in ranks
    )
    if not integers or len(ranks) == 0 or min(ranks) < 1:
        raise ValueError(f"ranks must be a sequence of integers above 0, got {ranks!r}")


def _integers(name: str, value: np.ndarray, count: int, minimum: int | None = None) -> np.ndarray:
    value = np.asarray(value)
    if not np.issubdtype(value.dtype, np.integer):
        raise TypeError(f"{name} must be an array of integers, got {value.dtype}")
    if value.shape != (count,):
        raise ValueError(f"{name} must be [{count}], as its features, got {list(value.shape)}")
    if minimum is not None and value.min() < minimum:
        raise ValueError(
            f"{name} must be at least {minimum}, got {value.min()} at position {np.argmin(value)}"
        )
    return value
