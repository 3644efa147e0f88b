"""Stratified splits into a training and a validation part."""

import fractions
import math

import numpy as np

from dm_jax import draws, errors


def stratified_split(
    labels: np.ndarray, *, fraction: float = 0.2, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Indices of a training and a validation part with the same class proportions.

    In each class of n examples round(fraction * n) are held out (a half rounds up): those with the
    smallest uniforms, of one per example drawn in order (`dm_jax.draws`, stream "split"). So for
    one seed a smaller validation part is a subset of a larger one.

    Args:
      labels: int [n] classes to stratify by.
      fraction: share to hold out, in [0, 1].
      seed: seed of the draw.

    Returns:
      (training indices, validation indices), each sorted, int64; together 0 .. n - 1.

    Raises:
      TypeError: a fraction that is not a number, or a seed that is not an integer.
      ValueError: fraction outside [0, 1], a negative seed, or labels that are not [n].
    """
    errors.check_number("fraction", fraction)
    if not 0.0 <= fraction <= 1.0:
        raise ValueError(f"fraction must be in [0, 1], got {fraction}")
    labels = np.asarray(labels)
    if labels.ndim != 1:
        raise ValueError(f"labels must have shape [n], got {list(labels.shape)}")
    # Exact: in floats 0.29 of 50 is below 14.5.
    share, half = fractions.Fraction(str(float(fraction))), fractions.Fraction(1, 2)
    uniforms = draws.generator(seed, "split").random(labels.size)
    held_out = np.zeros(labels.size, bool)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        count = math.floor(share * members.size + half)
        held_out[draws.sample(members, uniforms[members], count)] = True
    return np.flatnonzero(~held_out), np.flatnonzero(held_out)
