"""Metrics of a batch: accuracy on true and on given labels, and statistics of the emphasis.

Each metric is a sum and a count, accumulated on the device and divided once (`Totals.means`).
Losses, accuracies, probabilities and the mean emphasis are summed over examples, so that a padded
batch does not bias them; the spread of the emphasis is one number a batch, averaged over batches.
"""

from collections.abc import Mapping
from typing import Any

import flax.struct
import jax
import jax.numpy as jnp
import numpy as np

from dm_jax.emphasis.edf import EDF

NEVER = jnp.iinfo(jnp.int32).max
_UNDERFLOW_MARGIN = 80.0  # beyond it p or 1 - p underflows float32


@flax.struct.dataclass
class Totals:
    """Sums and counts by name, and the first step with a non-finite loss, or NEVER."""

    sums: dict[str, jax.Array]
    counts: dict[str, jax.Array]
    first_nonfinite: jax.Array

    @classmethod
    def of(cls, terms: Mapping[str, tuple[Any, Any]]) -> "Totals":
        """Totals from {name: (sum, count)}."""
        sums = {name: jnp.asarray(total, jnp.float32) for name, (total, _) in terms.items()}
        counts = {name: jnp.asarray(count, jnp.float32) for name, (_, count) in terms.items()}
        return cls(sums, counts, jnp.full((), NEVER, jnp.int32))

    @classmethod
    def empty(cls, like: "Totals") -> "Totals":
        """Zero totals, as NumPy arrays with the names and shapes of `like`."""
        sums, counts = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype), (like.sums, like.counts))
        never: Any = np.full(like.first_nonfinite.shape, NEVER, np.int32)
        return cls(sums, counts, never)

    def flag_nonfinite(self, step: jax.Array) -> "Totals":
        """A copy with `step` as its first non-finite step if the loss is not finite."""
        bad = jnp.where(jnp.isfinite(self.sums["loss"]), NEVER, step)
        return Totals(self.sums, self.counts, bad.astype(jnp.int32))

    @jax.jit
    def add(self, other: "Totals") -> "Totals":
        """The sum of totals with the same names; compiled."""
        return Totals(
            jax.tree.map(jnp.add, self.sums, other.sums),
            jax.tree.map(jnp.add, self.counts, other.counts),
            jnp.minimum(self.first_nonfinite, other.first_nonfinite),
        )

    def union(self, other: "Totals") -> "Totals":
        """The union of totals with different names."""
        return Totals(
            self.sums | other.sums,
            self.counts | other.counts,
            jnp.minimum(self.first_nonfinite, other.first_nonfinite),
        )

    def sum_steps(self) -> "Totals":
        """The totals of several steps, stacked along the first axis, summed."""
        sums, counts = jax.tree.map(lambda x: x.sum(0), (self.sums, self.counts))
        return Totals(sums, counts, self.first_nonfinite.min(0))

    def means(self) -> dict[str, Any]:
        """{name: sum / count} as NumPy values; NaN where the count is zero."""
        sums, counts = jax.device_get((self.sums, self.counts))
        with np.errstate(invalid="ignore"):
            return {name: sums[name] / counts[name] for name in sums}


@flax.struct.dataclass
class Examples:
    """Results of a step for each example of the global batch, all [B].

    Attributes:
      losses: cross entropy of the given label, that is -log p.
      predicted: class of the largest logit.
      labels, true_labels: given and true labels.
      where: bool; False for examples that do not count.
    """

    losses: jax.Array
    predicted: jax.Array
    labels: jax.Array
    true_labels: jax.Array
    where: jax.Array

    @classmethod
    def of(cls, losses, logits, batch: Mapping[str, jax.Array], axis_name=None) -> "Examples":
        """From losses [B], logits [B, C] and a batch; one all-gather over `axis_name`.

        A batch has `labels`, and may have `true_labels` (else the labels) and `where` (else all).
        """
        where = batch.get("where")
        where = jnp.ones(losses.shape, bool) if where is None else where
        labels = batch["labels"]
        columns = (losses, logits.argmax(-1), labels, batch.get("true_labels", labels), where)
        if axis_name is not None:
            # float32 holds every class number below 2**24 exactly.
            table = jnp.stack([column.astype(jnp.float32) for column in columns])
            table = jax.lax.all_gather(table, axis_name, axis=1, tiled=True)
            columns = (*table[:4], table[4] > 0)
        return cls(*columns)


def prediction_totals(examples: Examples) -> Totals:
    """Totals of `loss`, `accuracy` (on true labels) and `accuracy_given` (on given labels)."""
    where = examples.where
    count = where.sum()
    right = (examples.predicted == examples.true_labels) & where
    right_given = (examples.predicted == examples.labels) & where
    return Totals.of(
        {
            "loss": (jnp.where(where, examples.losses, 0).sum(), count),
            "accuracy": (right.sum(), count),
            "accuracy_given": (right_given.sum(), count),
        }
    )


def emphasis_totals(examples: Examples, edf: EDF) -> Totals:
    """Statistics of the emphasis over a batch, and mean probabilities of its labels.

    Names: `p_clean`, `p_noisy`: mean probability of the given label, over examples whose label is
    true and over the others. `emphasis_mean`: mean of w(p) before any normalisation.
    `emphasis_variance`: variance of w / mean(w), the paper's sigma of normalised weights.
    `effective_sample_size`: (sum w)^2 / (n sum w^2), in (0, 1]. `examples`: n, the examples that
    are neither padding nor skipped. All weights are w(p) of `edf` alone, without class weights,
    saturation and normalisation.

    `edf` is the current emphasis density function. If no weight is above zero, only the mean of the
    emphasis is measured.
    """
    where = examples.where
    clean = where & (examples.labels == examples.true_labels)
    noisy = where & ~clean
    log_p = -examples.losses
    p, margin = jnp.exp(log_p), log_p - jnp.log(-jnp.expm1(log_p))
    log_weight = edf.log_weight(jnp.clip(margin, -_UNDERFLOW_MARGIN, _UNDERFLOW_MARGIN))
    largest = jnp.where(where, log_weight, -jnp.inf).max(initial=-jnp.inf)
    largest = jnp.where(largest > -jnp.inf, largest, 0)
    weight = jnp.where(where, jnp.exp(log_weight - largest), 0)
    count, total, squares = where.sum(), weight.sum(), (weight**2).sum()
    any_weight = total > 0
    mean = jnp.exp(largest) * total / jnp.maximum(count, 1)
    share = count / 2**20  # in place of the count: sums over examples of large weights overflow
    ratio = count.astype(total.dtype) * squares / jnp.where(any_weight, total, 1) ** 2
    ratio = jnp.maximum(ratio, 1)  # as it is but for rounding
    return Totals.of(
        {
            "p_clean": (jnp.where(clean, p, 0).sum(), clean.sum()),
            "p_noisy": (jnp.where(noisy, p, 0).sum(), noisy.sum()),
            "emphasis_mean": (mean * share, share),
            "emphasis_variance": (jnp.where(any_weight, ratio - 1, 0), any_weight),
            "effective_sample_size": (jnp.where(any_weight, 1 / ratio, 0), any_weight),
            "examples": (count, 1),
        }
    )
