"""The soft margin of each example, m = z_y - logsumexp of the other logits, for any finite logits.

p = sigmoid(m), and the gradient of m with respect to the logits is onehot(y) minus the softmax over
the other classes: so gradients of the loss need no division by 1 - p and do not cancel.
"""

import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array, lax

from dm_jax.emphasis.edf import EDF

# exp(60) times 50,257 classes is far from overflow; sums within exp(+-57) have lost no significant
# term.
_MAX_EXPONENT = 60.0
_MAX_SUM = 1e25
# Keeps differences of logits finite. Only the margin of a masked label is beyond it, -inf.
MAX_MARGIN = 1e30
# High bits of a float32: the product of two such numbers is exact.
_HIGH_BITS = 0xFFFFF000


class SoftMargin(NamedTuple):
    """Soft margins; all [...] except others [..., C], in the dtype of the computation."""

    margin: Array
    correction: Array  # rounding error of the log weight at the margin, to be added
    others: Array  # exponentials of the logits, up to a factor; 0 at the label
    total: Array  # their sum


def soft_margin(logits: Array, labels: Array, edf: EDF) -> SoftMargin:
    """The margins, with rounding corrections for the log weights of `edf`.

    On a CPU the exponentials are first shifted by the label's own logit, which saves a pass over
    the logits for their maximum; only if the margin of an example is too large for that, everything
    is recomputed. On other devices a pass costs less than waiting for that decision, so the maximum
    is always used.
    """
    label_logits = jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="clip")[..., 0]
    return lax.platform_dependent(
        logits,
        labels,
        label_logits,
        cpu=functools.partial(_fast_or_general, edf=edf),
        default=functools.partial(_general, edf=edf),
    )


def is_label(labels: Array, shape: tuple[int, ...]) -> Array:
    """One-hot labels, bool [..., C]."""
    return lax.broadcasted_iota(labels.dtype, shape, len(shape) - 1) == labels[..., None]


@functools.partial(jnp.vectorize, signature="(c),()->(c)")
def _without_label(row: Array, label: Array) -> Array:
    """A row with 0 at the label; on a CPU faster than a mask, which slows the exponentials."""
    return row.at[label].set(0, mode="drop")


@jax.custom_jvp
def _exp(x: Array) -> Array:
    """exp, whose (unused) overflows do not become NaN in second derivatives."""
    return jnp.exp(x)


@_exp.defjvp
def _exp_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    value = _exp(*primals)
    return value, jnp.where(jnp.isfinite(value), value, 0) * tangents[0]


def _fast_or_general(logits: Array, labels: Array, label_logits: Array, edf: EDF) -> SoftMargin:
    others = _without_label(_exp(logits - label_logits[..., None]), labels)
    total = jnp.sum(others, axis=-1)
    far = ~((total > 1 / _MAX_SUM) & (total < _MAX_SUM))
    return lax.cond(
        jnp.any(far),
        lambda: _general(logits, labels, label_logits, edf),
        lambda: _fast(others, total),
    )


def _fast(others: Array, total: Array) -> SoftMargin:
    margin = -jnp.log(jnp.maximum(total, 1 / _MAX_SUM))
    return SoftMargin(margin, jnp.zeros_like(margin), others, total)


def _general(logits: Array, labels: Array, label_logits: Array, edf: EDF) -> SoftMargin:
    other_logits = jnp.where(is_label(labels, logits.shape), -jnp.inf, logits)
    # Bounded for a label whose other classes are all masked by -inf.
    limits = jnp.finfo(logits.dtype)
    largest = lax.stop_gradient(jnp.max(other_logits, axis=-1, initial=limits.min))
    others = jnp.exp(other_logits - largest[..., None])
    total = jnp.sum(others, axis=-1)
    total = jnp.where(total == 0, 1, total)
    lead, lead_lost = _exact_sum(label_logits, -largest)
    lead = jnp.clip(lead, -MAX_MARGIN, MAX_MARGIN)
    # A masked label has an infinite loss; one of +inf is the NaN of a diverged network.
    lead = jnp.where(label_logits == -jnp.inf, -jnp.inf, lead)
    lead = jnp.where(label_logits == jnp.inf, jnp.nan, lead)
    margin, margin_lost = _exact_sum(lead, -jnp.log(total))
    correction = lax.stop_gradient(_correction(edf, margin, lead_lost + margin_lost))
    return SoftMargin(margin, correction, others, total)


def _correction(edf: EDF, margin: Array, lost: Array) -> Array:
    """log_shape(margin + lost), minus log_shape(margin) as computed at this precision.

    At a margin of 1e4 the weights of MAE are near exp(-1e4) and a digit of float32 is 1e-3: far too
    coarse for their ratios. Where log_shape is that large it is linear in m, and can be evaluated
    exactly.
    """
    near = jnp.clip(margin, -_MAX_EXPONENT, _MAX_EXPONENT)
    ones = jnp.ones_like(margin)
    value, slope = jax.jvp(edf.log_shape, (near,), (ones,))
    rounded, slope_here = jax.jvp(edf.log_shape, (margin,), (ones,))
    rise, rise_lost = _exact_product(slope, margin - near)
    line, line_lost = _exact_sum(value, rise)
    residual = jnp.where(slope == slope_here, line - rounded + (line_lost + rise_lost), 0.0)
    correction = residual + slope_here * lost
    return jnp.where(jnp.isfinite(correction), correction, 0.0).astype(margin.dtype)


def _exact_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """a + b rounded, and its rounding error (Knuth)."""
    total = a + b
    part = total - a
    return total, (a - (total - part)) + (b - part)


def _exact_product(a: Array, b: Array) -> tuple[Array, Array]:
    """a * b as two float32 numbers that together keep all its digits (Dekker).

    In float64 the second is 0.
    """
    a_high, b_high = _high_bits(a), _high_bits(b)
    return a_high * b_high, a_high * (b - b_high) + (a - a_high) * b


def _high_bits(x: Array) -> Array:
    if x.dtype != jnp.float32:
        return x
    bits = lax.bitcast_convert_type(x, jnp.uint32) & jnp.uint32(_HIGH_BITS)
    return lax.bitcast_convert_type(bits, jnp.float32)
