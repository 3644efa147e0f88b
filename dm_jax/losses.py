"""The DM loss: cross entropy as its value, an emphasis density function as its gradient."""

import functools
from typing import Any, Literal

import jax
import jax.numpy as jnp
from jax import Array, lax
from jax.nn import log_sigmoid, sigmoid, softplus
from jax.typing import ArrayLike

from dm_jax.edf import EDF
from dm_jax.errors import unknown

Normalization = Literal["batch", "density"] | None


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
    """Cross entropy of each example, whose gradient is the emphasis, not the derivative of that
    value.

    The value is ``-log p`` with ``p = softmax(logits)[labels]``, so that curves compare across
    schemes. The gradient by the logits of one example, for a cotangent g of its loss, is

        g * W * s(q) / (2 * q) * (softmax(logits) - onehot(labels)),   q = 1 - p,   s(q) = q / (q +
        eps / 2)

    so its L1 norm is g * W * s (Eq. 7). W is the weight w(p) of `edf`, times the class weight of
    the label:

    - ``"batch"``: W = N * w / sum_j w_j over the N unmasked examples: the weights average to one,
      and the mean of the losses has gradients of L1 norm w / sum_j w_j, as the authors' code.
    - ``"density"``: W = w / integral of w(u) du over [0, 1] (Eq. 8).
    - ``None``: W = w(p).

    The gradient by `edf` and `class_weights` is zero, as the value does not depend on them.
    Differentiating a function of the logits' gradient (a bilevel objective) does see them, the
    normaliser included.

    Args:
      logits: [..., C], C >= 2, a floating type. Computed in float32, or float64 if they are
        float64.
      labels: [...] integers in [0, C). They are not checked here: out of range they mean a wrong
        loss.
      edf: the scheme; any `dm_jax.EDF`.
      normalization: "batch", "density" or None, as above.
      where: [...] bool; examples that are False have loss and gradient zero and do not count.
      axis_name: mapped axis (pmap, shard_map) over which "batch" sums too. The gradient of
        ``sum(losses) / psum(count)`` on each device, then summed over devices, is that of the whole
        batch.
      saturation: eps >= 0 of the authors' denominator ``2 * q + eps``; 0 is Eq. 7 to the letter.
      class_weights: [C], at least 0, multiplied into the weight of each label.

    Returns:
      [...] float32 (float64 for float64 logits).

    Raises:
      TypeError: logits that are not floating, labels not integers, where not bool, edf not an EDF.
      ValueError: shapes that do not match, an unknown normalization, a negative saturation.

    >>> from dm_jax import MAE
    >>> logits, labels = jnp.array([[2.0, 0.0], [0.0, 0.0]]), jnp.array([0, 0])
    >>> print(dm_softmax_cross_entropy(logits, labels, MAE()).round(4))
    [0.1269 0.6931]
    >>> mean = lambda z: dm_softmax_cross_entropy(z, labels, MAE(), saturation=0.0).mean()
    >>> print(jnp.abs(jax.grad(mean)(logits)).sum(-1).round(4))  # w = 2pq over its sum
    [0.2958 0.7042]
    """
    logits, labels = jnp.asarray(logits), jnp.asarray(labels)
    _check(logits, labels, edf, normalization, saturation)
    if where is not None:
        where = jnp.asarray(where)
        _check_companion("where", where, jnp.bool_, "bool", labels.shape)
        labels = jnp.where(where, labels, 0)
    if class_weights is not None:
        class_weights = jnp.asarray(class_weights)
        _check_companion(
            "class_weights", class_weights, jnp.floating, "floating", logits.shape[-1:]
        )
    return _loss(
        logits, labels, edf, where, class_weights, normalization, axis_name, float(saturation)
    )


def _check(logits: Array, labels: Array, edf: Any, normalization: Any, saturation: Any) -> None:
    if not jnp.issubdtype(logits.dtype, jnp.floating):
        raise TypeError(f"logits must be floating, got {logits.dtype}")
    if not jnp.issubdtype(labels.dtype, jnp.integer):
        raise TypeError(f"labels must be integers, got {labels.dtype}")
    if logits.ndim == 0 or logits.shape[-1] < 2:
        raise ValueError(f"logits must be [..., C] with C >= 2, got shape {logits.shape}")
    if logits.shape[:-1] != labels.shape:
        raise ValueError(
            f"labels must be {logits.shape[:-1]} for logits {logits.shape}, got {labels.shape}"
        )
    if not isinstance(edf, EDF):
        raise TypeError(f"edf must be a dm_jax.EDF, got {edf!r}; wrap a function: from_weight(fn)")
    if normalization not in ("batch", "density", None):
        raise unknown("normalization", normalization, ("batch", "density", "None"))
    if not (isinstance(saturation, (int, float)) and 0 <= saturation < float("inf")):
        raise ValueError(f"saturation must be a finite number >= 0, got {saturation!r}")


def _check_companion(name: str, array: Array, kind: Any, kind_name: str, shape: tuple) -> None:
    if not jnp.issubdtype(array.dtype, kind):
        raise TypeError(f"{name} must be {kind_name}, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


@functools.partial(jax.custom_vjp, nondiff_argnums=(5, 6, 7))
def _loss(logits, labels, edf, where, class_weights, normalization, axis_name, saturation):
    margin, _, _ = _margin(logits, labels)
    return _masked(where, softplus(-margin))


def _loss_forward(logits, labels, edf, where, class_weights, normalization, axis_name, saturation):
    margin, others, total = _margin(logits, labels)
    log_weight = edf.log_weight(margin)
    if class_weights is not None:
        log_weight = log_weight + _safe_log(class_weights[labels])
    log_weight = jnp.clip(log_weight, None, jnp.finfo(margin.dtype).max).astype(margin.dtype)
    log_scale = _log_scale(log_weight, edf, where, normalization, axis_name)
    size = _bounded_exp(log_weight + log_scale + _log_saturation(margin, saturation))
    size = _masked(where, size)
    # Times the size, this is the gradient: half the softmax over the other classes, minus half the
    # label.
    direction = (0.5 / total)[..., None] * others
    direction = _set_label(direction, labels, -0.5)
    losses = _masked(where, softplus(-margin))
    return losses, (direction, size, where, jnp.zeros((0,), logits.dtype))


def _loss_backward(normalization, axis_name, saturation, residuals, cotangent):
    direction, size, where, like = residuals
    largest = float(jnp.finfo(like.dtype).max)
    scale = jnp.clip(cotangent * size, -largest, largest)
    gradient = scale[..., None] * direction
    if where is not None:
        gradient = jnp.where(where[..., None], gradient, 0)
    return gradient.astype(like.dtype), None, None, None, None


_loss.defvjp(_loss_forward, _loss_backward)


def _margin(logits: Array, labels: Array) -> tuple[Array, Array, Array]:
    """The soft margin, the exponentials of the other classes (0 at the label), and their sum."""
    logits = logits.astype(jnp.float64 if logits.dtype == jnp.float64 else jnp.float32)
    label_logit = jnp.take_along_axis(logits, labels[..., None], axis=-1, mode="clip")[..., 0]
    others = _set_label(logits, labels, -jnp.inf)
    largest = lax.stop_gradient(jnp.max(others, axis=-1))
    exponentials = jnp.exp(others - largest[..., None])
    total = jnp.sum(exponentials, axis=-1)
    return (label_logit - largest) - jnp.log(total), exponentials, total


def _set_label(array: Array, labels: Array, value: float) -> Array:
    """The array with the entry of each example's label set to the value."""
    is_label = lax.broadcasted_iota(labels.dtype, array.shape, array.ndim - 1) == labels[..., None]
    return jnp.where(is_label, value, array)


def _log_scale(log_weight, edf, where, normalization, axis_name):
    """log of the number all weights are multiplied by; of N / sum_j w_j for "batch"."""
    if normalization is None:
        return jnp.zeros((), log_weight.dtype)
    if normalization == "density":
        return -edf.log_integral().astype(log_weight.dtype)
    counted = jnp.ones(log_weight.shape, bool) if where is None else where
    log_weight = jnp.where(counted, log_weight, -jnp.inf)
    largest = lax.stop_gradient(jnp.max(log_weight, initial=-jnp.inf))
    if axis_name is not None:
        largest = lax.pmax(largest, axis_name)
    largest = jnp.where(largest == -jnp.inf, 0.0, largest)
    total = jnp.sum(jnp.exp(log_weight - largest))
    count = jnp.sum(counted, dtype=log_weight.dtype)
    if axis_name is not None:
        total, count = lax.psum((total, count), axis_name)
    return _safe_log(count) - largest - _safe_log(total)


def _log_saturation(margin: Array, saturation: float) -> Array:
    """log of s(q) = q / (q + saturation / 2)."""
    if saturation == 0:
        return jnp.zeros((), margin.dtype)
    return log_sigmoid(-margin) - jnp.log(sigmoid(-margin) + saturation / 2)


def _bounded_exp(x: Array) -> Array:
    """exp, held at the largest float instead of inf; 0 at -inf."""
    return jnp.minimum(jnp.exp(x), jnp.finfo(x.dtype).max)


def _safe_log(x: Array) -> Array:
    """log, with -inf and a derivative of zero at 0."""
    positive = x > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, x, 1)), -jnp.inf)


def _masked(where: Array | None, values: Array) -> Array:
    return values if where is None else jnp.where(where, values, 0)
