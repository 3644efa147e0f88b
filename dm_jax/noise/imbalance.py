"""Class imbalance: which examples of a balanced training set are kept."""

from collections.abc import Callable

import numpy as np

from dm_jax import draws, errors


def kept_counts(labels: np.ndarray, num_classes: int, imbalance: str, ratio: float) -> np.ndarray:
    """How many examples of each class the imbalance keeps, int64 [num_classes].

    Raises:
      ValueError: an unknown imbalance, an invalid ratio, or a class that would become empty or, for
        "ratio", has too few examples.
    """
    if imbalance not in _IMBALANCES:
        raise errors.unknown("imbalance", imbalance, _IMBALANCES)
    errors.check_number("ratio", ratio)
    if not np.isfinite(ratio) or ratio < 1.0:
        raise ValueError(f"ratio must be a finite number of at least 1, got {ratio}")
    available = np.bincount(labels, minlength=num_classes)
    counts = np.minimum(_IMBALANCES[imbalance](available, ratio), available)
    emptied = np.flatnonzero((counts == 0) & (available > 0))
    if emptied.size:
        raise ValueError(f"imbalance {imbalance!r} with ratio {ratio} empties class {emptied[0]}")
    return counts


def keep(
    labels: np.ndarray, num_classes: int, *, imbalance: str, ratio: float, seed: int
) -> np.ndarray:
    """The indices of the examples to keep, ascending, int64.

    Each class keeps the examples with the smallest uniforms, of one per example drawn in order
    (stream "imbalance"): a stronger imbalance keeps a subset of what a weaker one keeps.
    """
    counts = kept_counts(labels, num_classes, imbalance, ratio)
    if imbalance == "none":
        return np.arange(labels.size)
    uniforms = draws.generator(seed, "imbalance").random(labels.size)
    members = [np.flatnonzero(labels == label) for label in range(num_classes)]
    chosen = [draws.sample(m, uniforms[m], n) for m, n in zip(members, counts, strict=True)]
    return np.sort(np.concatenate(chosen))


def _none(available: np.ndarray, ratio: float) -> np.ndarray:
    """Keeps everything."""
    if ratio != 1.0:
        raise ValueError(f"imbalance 'none' has no ratio, got ratio {ratio}; leave it at 1")
    return available


def _ratio(available: np.ndarray, ratio: float) -> np.ndarray:
    """Keeps all positives (class 1) and a sample of positives / ratio negatives, rounded.

    Source: the P-N ratio of the IMDB experiment (Table 5 of the paper).
    """
    if available.size != 2:
        raise ValueError(f"imbalance 'ratio' is for 2 classes, got {available.size}")
    negatives = int(np.floor(available[1] / ratio + 0.5))
    if negatives > available[0]:
        raise ValueError(
            f"ratio {ratio} of imbalance 'ratio' keeps {negatives} examples of class 0, but there "
            f"are {available[0]} (and {available[1]} of class 1)"
        )
    return np.array([negatives, available[1]])


def _long_tail(available: np.ndarray, ratio: float) -> np.ndarray:
    """Class k keeps floor(n * ratio^(-k / (C - 1))), n the size of the largest class.

    Source: Cui et al. 2019 (class-balanced loss); `ratio` is largest over smallest class. A class
    that has fewer keeps all it has.
    """
    order = np.arange(available.size) / max(available.size - 1, 1)
    # 1e-9, so that a power that should be whole is not floored to one less.
    return np.floor(available.max() * ratio**-order + 1e-9).astype(np.int64)


def _step(available: np.ndarray, ratio: float) -> np.ndarray:
    """The later half of the classes keeps floor(n / ratio) each, the earlier half everything.

    Source: Buda et al. 2018; n is the size of the largest class. With an odd number of classes
    the extra one belongs to the later half. A class that has fewer keeps all it has.
    """
    minority = np.arange(available.size) >= available.size // 2
    return np.where(minority, int(available.max() / ratio + 1e-9), available)


_IMBALANCES: dict[str, Callable[[np.ndarray, float], np.ndarray]] = {
    "none": _none,
    "ratio": _ratio,
    "long_tail": _long_tail,
    "step": _step,
}
