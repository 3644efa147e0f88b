"""Label noise that depends on the features of the example."""

import math
import statistics

import numpy as np

from dm_jax import draws, errors
from dm_jax.noise.request import Request

# Standard deviation of the flip rates before truncation.
DEVIATION = 0.1


def instance(request: Request) -> np.ndarray:
    """Every example has its own flip rate, and its features choose the wrong label.

    Example i of class y with features x is flipped with probability q_i, to class j != y with
    probability softmax over the other classes of x W_y, where each class has its own projection
    W_y of standard normals, [features, C]. The q_i are normal around r with deviation 0.1,
    truncated symmetrically at r +- min(r, 1 - r).

    True noise rate: r, the mean of the q_i. Source: Xia et al. 2020 (part-dependent label noise),
    the generator of their experiments, which truncates to [0, 1], so that its mean is not r (12.9%
    for r = .1, 20.6% for r = .2). uint8 images are scaled to [0, 1], float features are not scaled.
    """
    features = _features(request)
    rng = draws.generator(request.seed, "structure")
    rates = _flip_rates(request.rate, rng.random(request.labels.size))
    target = np.empty(request.labels.size, np.int64)
    for label in range(request.num_classes):
        projection = draws.normals(rng, (features.shape[1], request.num_classes))
        own = np.flatnonzero(request.labels == label)
        logits = _project(features[own], projection)
        target[own] = _choose(logits, label, request.choice[own])
    return request.flip_to(target, rates)


def _features(request: Request) -> np.ndarray:
    """The inputs as uint8 or float [n, features]."""
    request.require_two_classes("instance")
    if request.inputs is None:
        raise ValueError("kind 'instance' needs inputs, got none")
    inputs = np.asarray(request.inputs)
    if inputs.ndim < 2 or len(inputs) != request.labels.size:
        raise ValueError(
            f"inputs must be [{request.labels.size}, ...], one row for each label, got "
            f"{list(inputs.shape)}"
        )
    if inputs.dtype != np.uint8 and inputs.dtype.kind != "f":
        raise TypeError(f"inputs must be uint8 images or float features, got {inputs.dtype}")
    errors.check_finite("inputs", inputs)
    return inputs.reshape(len(inputs), math.prod(inputs.shape[1:]))


def _flip_rates(rate: float, uniforms: np.ndarray) -> np.ndarray:
    """Normal(rate, DEVIATION^2) truncated symmetrically within [0, 1], from uniforms [n]."""
    reach = min(rate, 1.0 - rate)
    if reach == 0.0:
        return np.full(uniforms.size, rate)
    normal = statistics.NormalDist(0.0, DEVIATION)
    tail = normal.cdf(-reach)
    inside = tail + uniforms * (1.0 - 2.0 * tail)
    return np.clip(rate + np.array([normal.inv_cdf(u) for u in inside]), 0.0, 1.0)


def _project(features: np.ndarray, projection: np.ndarray) -> np.ndarray:
    """The exact product of features [n, d] and projection [d, C], float64 [n, C].

    Both are multiples of 2^-16 (pixels are integers), so float64 holds every partial sum and the
    product does not depend on the order in which a platform's BLAS adds.
    """
    if features.dtype == np.uint8:
        return features.astype(np.float64) @ projection / 255.0
    return (np.round(features.astype(np.float64) * 2.0**16) / 2.0**16) @ projection


def _choose(logits: np.ndarray, own: int, uniforms: np.ndarray) -> np.ndarray:
    """One class per row of logits [n, C], drawn by softmax over all but `own`, int64 [n]."""
    logits = logits.copy()
    logits[:, own] = -np.inf
    weights = np.exp(logits - logits.max(axis=1, initial=-np.inf, keepdims=True))
    sums = np.cumsum(weights, axis=1)
    return np.argmax(sums > uniforms[:, None] * sums[:, -1:], axis=1)
