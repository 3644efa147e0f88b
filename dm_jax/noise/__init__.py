"""Label noise and class imbalance: a seeded, hashed, saved `Corruption` of the training labels.

    corruption = noise.corrupt(labels, num_classes=10, kind="symmetric", rate=0.4, seed=1)
    corruption.labels, corruption.actual_rate, corruption.hash
    corruption.save("corruption.npz")

Papers use one name for different kinds of noise; here each has its own. See docs/noise.md.
"""

from dm_jax.noise.apply import corrupt, hold_out, kinds, transition_matrix
from dm_jax.noise.corruption import Corruption

__all__ = ["Corruption", "corrupt", "hold_out", "kinds", "transition_matrix"]
