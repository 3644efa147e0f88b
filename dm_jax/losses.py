"""The DM loss: cross entropy as its value, an emphasis density function as its gradient."""

import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.typing import ArrayLike

from dm_jax import loss_arguments as arguments
from dm_jax.dtypes import widened
from dm_jax.emphasis.edf import EDF
from dm_jax.emphasis.probability import log_p_and_q
from dm_jax.loss_arguments import Normalization
from dm_jax.margin import MAX_MARGIN, is_label, soft_margin

_LARGEST_EXPONENT = 80.0  # whose exponential is finite in float32


def dm_softmax_cross_entropy(
    logits: ArrayLike,
    labels: ArrayLike,
    edf: EDF,
    *,
    normalization: Normalization = "batch",
    where: ArrayLike | None = None,
    axis_name: Any = None,
    saturation: float = 1e-6,
    class_weights: ArrayLike | None = None,
) -> Array:
    """Cross entropy of each example; its gradient is the emphasis, not the value's derivative.

    The value is `-log p` with `p = softmax(logits)[labels]`, so that curves compare across
    schemes. For a cotangent g of one example's loss, the gradient with respect to its logits is

        g * W * s / (2 * q) * (softmax(logits) - onehot(labels)),
        q = 1 - p,   s = q / (q + saturation / 2)

    so its L1 norm is g * W * s (Eq. 7). W is the weight w(p) of `edf`, times the class weight of
    the label:

    - `"batch"`: W = N * w / sum_j w_j over the N unmasked examples: the weights average to one,
      and the mean of the losses has gradients of L1 norm w / sum_j w_j, as in the authors' code.
    - `"density"`: W = w / integral of w(u) du over [0, 1] (Eq. 8).
    - `None`: W = w(p).

    The gradient with respect to `edf` and `class_weights` is zero, as the value does not depend on
    them. A function of the logits' gradient (a bilevel objective) does depend on them, also through
    the normaliser. First derivatives are reverse-mode only: `jax.jvp` raises a TypeError.

    Args:
      logits: [..., C] floating, C >= 2; -inf masks a class. Computed in float32, or in float64 for
        float64 logits.
      labels: [...] integers in [0, C), not checked here: out of range, they give a wrong loss.
      edf: the scheme; any `dm_jax.EDF`.
      normalization: "batch", "density" or None, as above.
      where: [...] bool; examples that are False have loss and gradient zero and do not count.
      axis_name: mapped axis (pmap, shard_map) that "batch" also sums over. The gradient of
        `sum(losses) / psum(count)` on each device, then summed over devices, is that of the whole
        batch.
      saturation: eps >= 0 of the authors' denominator `2 * q + eps`: 1e-6 in their Caffe code,
        which made the published tables, 1e-8 in their PyTorch code; 0 is exactly Eq. 7.
      class_weights: [C] numbers, finite and at least 0, factors on the weights by label.

    Returns:
      [...] float32 (float64 for float64 logits).

    Raises:
      TypeError: logits not floating, labels not integers, where not bool, class weights that are
        not numbers, edf not an EDF.
      ValueError: shapes that do not match, an unknown normalization, a negative saturation or class
        weight.

    >>> from dm_jax import MAE
    >>> logits, labels = jnp.array([[2.0, 0.0], [0.0, 0.0]]), jnp.array([0, 0])
    >>> print(" ".join(f"{x:.4f}" for x in dm_softmax_cross_entropy(logits, labels, MAE())))
    0.1269 0.6931
    >>> mean = lambda z: dm_softmax_cross_entropy(z, labels, MAE(), saturation=0.0).mean()
    >>> share = jnp.abs(jax.grad(mean)(logits)).sum(-1)  # w = 2pq over its sum
    >>> print(" ".join(f"{x:.4f}" for x in share))
    0.2958 0.7042
    """
    logits, labels = arguments.as_array("logits", logits), arguments.as_array("labels", labels)
    arguments.check(logits, labels, edf, normalization, saturation)
    labels = labels.astype(jnp.int32)
    if where is not None:
        where = arguments.as_array("where", where)
        arguments.check_array("where", where, jnp.bool_, "bool", labels.shape)
        labels = jnp.where(where, labels, 0)
        # Masked examples may hold any logits, even NaN: zeros give them a finite loss and, through
        # this `where`, a zero gradient.
        logits = jnp.where(where[..., None], logits, 0)
    if class_weights is not None:
        class_weights = arguments.checked_class_weights(class_weights, logits.shape[-1:])
    return _loss(
        logits, labels, edf, where, class_weights, normalization, axis_name, float(saturation)
    )


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def _loss(logits, labels, edf, where, class_weights, normalization, axis_name, saturation):
    margin = soft_margin(widened(logits), labels, edf).margin
    return _masked(where, -log_p_and_q(margin)[0])


def _loss_forward(logits, labels, edf, where, class_weights, normalization, axis_name, saturation):
    soft = soft_margin(widened(logits), labels, edf)
    log_p, log_q = log_p_and_q(soft.margin)
    if saturation / 2 < jnp.finfo(log_q.dtype).tiny:
        saturation = 0.0  # both would round to 0 where q does: 0 / 0
    log_shape = edf.log_shape(jnp.maximum(soft.margin, -MAX_MARGIN)).astype(log_q.dtype)
    log_scale = jnp.asarray(edf.log_scale, log_q.dtype)
    class_weight = (
        None
        if class_weights is None
        else _weights_of_labels(class_weights, labels).astype(log_q.dtype)
    )
    if normalization == "batch":
        counted = jnp.ones(labels.shape, bool) if where is None else where
        weight = _batch_normalised(
            log_shape, log_scale, soft.correction, class_weight, counted, axis_name
        )
        weight = weight * _saturation(log_q, saturation)
    else:
        log_constant = log_scale if normalization is None else _minus_log_area(edf, log_q.dtype)
        log_weight = log_shape + soft.correction + log_constant
        # In one exponential: a weight may overflow where its saturation underflows (Beta, eta < 1).
        log_weight = log_weight + _log_saturation(log_q, saturation)
        weight = _scaled_exp(log_weight, class_weight, _bounded_exp)
    dtype_like = jnp.zeros((0,), logits.dtype)  # residuals are arrays; this one carries the dtype
    return _masked(where, -log_p), (soft, weight, labels, dtype_like)


def _loss_backward(normalization, axis_name, saturation, residuals, cotangent):
    soft, weight, labels, dtype_like = residuals
    largest = float(jnp.finfo(dtype_like.dtype).max)
    half = jnp.clip(cotangent * weight / 2, -largest, largest)
    # Not others * (half / total): that quotient underflows where the total is large.
    others = soft.others * (1 / soft.total)[..., None] * half[..., None]
    gradient = jnp.where(is_label(labels, others.shape), -half[..., None], others)
    return gradient.astype(dtype_like.dtype), None, None, None, None


_loss.defvjp(_loss_forward, _loss_backward)


def _weights_of_labels(class_weights: Array, labels: Array) -> Array:
    """class_weights[labels], which a mesh with explicit axes refuses in this form."""
    of_all = jnp.broadcast_to(class_weights, (*labels.shape, *class_weights.shape))
    return jnp.take_along_axis(of_all, labels[..., None], axis=-1, mode="clip")[..., 0]


def _batch_normalised(
    log_shape: Array,
    log_scale: Array,
    correction: Array,
    class_weight: Array | None,
    counted: Array,
    axis_name: Any,
) -> Array:
    """N * w_i / sum_j w_j over the counted examples of the whole batch.

    log w is log_shape + log_scale + correction + log(class_weight), the correction small.
    """
    log_shape = jnp.where(counted, log_shape, -jnp.inf)
    if log_scale.ndim:
        log_scale = jnp.where(counted, log_scale, -jnp.inf)
    elif axis_name is None:  # one constant, which cancels
        log_scale = jnp.zeros_like(log_scale)
    leading = log_shape + log_scale
    leading = leading if class_weight is None else leading + _safe_log(class_weight)
    # Both cancel, so that they need not be exact and have no gradient.
    scale, largest = _largest((log_scale, leading), axis_name)
    log_ratio = (log_shape + (log_scale - scale)) - (largest - scale) + correction
    ratio = _scaled_exp(log_ratio, class_weight, jnp.exp)  # an infinite weight shows, as NaN
    total = jnp.sum(ratio)
    count = jnp.sum(counted, dtype=log_shape.dtype)
    if axis_name is not None:
        total, count = lax.psum((total, count), axis_name)
    return ratio * (count / jnp.where(total == 0, 1.0, total))


def _largest(arrays: Sequence[Array], axis_name: Any) -> Array:
    """The largest of each array over the whole batch, as constants; 0 if it is not finite."""
    largest = lax.stop_gradient(jnp.stack([jnp.max(x, initial=-jnp.inf) for x in arrays]))
    if axis_name is not None:
        largest = lax.pmax(largest, axis_name)
    return jnp.where(jnp.isfinite(largest), largest, 0.0)


def _minus_log_area(edf: EDF, dtype: Any) -> Array:
    """-log of the area; 0 if that is 0, so that weights of zero stay zero."""
    log_area = jnp.asarray(edf.log_area(), dtype)
    return jnp.where(log_area == -jnp.inf, 0.0, -log_area)


def _saturation(log_q: Array, saturation: float) -> Array | float:
    """s(q) = q / (q + saturation / 2)."""
    q = jnp.exp(log_q)
    return q / (q + saturation / 2) if saturation > 0 else 1.0


def _log_saturation(log_q: Array, saturation: float) -> Array | float:
    return log_q - jnp.log(jnp.exp(log_q) + saturation / 2) if saturation > 0 else 0.0


def _scaled_exp(log_value: Array, factor: Array | None, exp: Callable[[Array], Array]) -> Array:
    """factor * exp(log_value), of which the exponential alone may overflow."""
    if factor is None:
        return exp(log_value)
    positive = factor > 0
    # A product, not the constant 0, so that it has a derivative with respect to the factor.
    zero = jnp.where(positive, 0, factor) * jnp.exp(jnp.minimum(log_value, _LARGEST_EXPONENT))
    return jnp.where(positive, exp(log_value + _safe_log(factor)), zero)


def _bounded_exp(x: Array) -> Array:
    """exp(x), with value the largest float and derivative 0 where it would overflow."""
    limit = np.nextafter(np.log(jnp.finfo(x.dtype).max), 0, dtype=x.dtype)
    return jnp.exp(jnp.minimum(x, limit))


def _safe_log(x: Array) -> Array:
    """log(x), with value -inf and derivative 0 at x = 0."""
    positive = x > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1)), -jnp.inf)


def _masked(where: Array | None, values: Array) -> Array:
    return values if where is None else jnp.where(where, values, 0)
