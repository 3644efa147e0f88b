"""The arguments of the loss, checked while it is traced."""

from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from dm_jax.emphasis.edf import EDF

Normalization = Literal["batch", "density"] | None


def check(logits: Array, labels: Array, edf: Any, normalization: Any, saturation: Any) -> None:
    """Raises TypeError or ValueError as `dm_jax.dm_softmax_cross_entropy` says."""
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
    if isinstance(edf, type) and issubclass(edf, EDF):
        raise TypeError(f"edf must be an instance, such as {edf.__name__}(...), got the class")
    if not isinstance(edf, EDF):
        raise TypeError(
            f"edf must be a dm_jax.EDF, got {edf!r}; subclass dm_jax.EDF (class X(dm_jax.EDF)), or "
            "wrap a function of p with dm_jax.from_weight"
        )
    _check_parameter_shapes(edf, labels.shape)
    if not isinstance(normalization, str | None) or normalization not in ("batch", "density", None):
        raise ValueError(f"normalization must be 'batch', 'density' or None, got {normalization!r}")
    if isinstance(saturation, jax.core.Tracer):
        raise TypeError("saturation must be known when the function is traced, got a tracer")
    number = isinstance(saturation, (int, float, np.number, jax.Array)) and np.ndim(saturation) == 0
    if not number or not 0 <= float(saturation) < float("inf"):
        raise ValueError(f"saturation must be a finite number >= 0, got {saturation!r}")


def _check_parameter_shapes(edf: EDF, shape: tuple[int, ...]) -> None:
    """Raises ValueError if parameters that are arrays give other weights than one per label."""
    shapes = [list(jnp.shape(leaf)) for leaf in jax.tree.leaves(edf)]
    if not any(shapes):
        return
    found, cause = None, None
    try:
        found = jax.eval_shape(edf.log_shape, jax.ShapeDtypeStruct(shape, jnp.float32)).shape
    except jax.errors.JAXTypeError:  # it cannot be traced, and says so
        raise
    except (TypeError, ValueError) as error:
        cause = error
    if found not in (shape, ()):
        raise ValueError(
            f"parameters of edf must be numbers or give one weight for each label, {list(shape)}; "
            f"those of {type(edf).__name__} have shapes {', '.join(map(str, shapes))} (for one "
            "value per class, pass VALUES[labels])"
        ) from cause


def as_array(name: str, value: Any) -> Array:
    """The value as an array; raises TypeError if it is none."""
    try:
        return jnp.asarray(value)
    except (TypeError, ValueError) as error:
        raise TypeError(f"{name} must be an array, got {type(value).__name__}") from error


def check_array(
    name: str, array: Array | np.ndarray, kind: Any, kind_name: str, shape: tuple
) -> None:
    """Raises TypeError for another kind of dtype, ValueError for another shape."""
    if not jnp.issubdtype(array.dtype, kind):
        raise TypeError(f"{name} must be {kind_name}, got {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def checked_class_weights(class_weights: Any, shape: tuple) -> Array:
    """The factors as an array; raises unless they are finite and at least 0."""
    # Concrete even while a function is traced, so that the values can be checked.
    with jax.ensure_compile_time_eval():
        array = as_array("class_weights", class_weights)
        if jnp.issubdtype(array.dtype, jnp.integer):
            array = array.astype(jnp.float32)
    check_array("class_weights", array, jnp.floating, "numbers", shape)
    if isinstance(array, jax.core.Tracer) or not array.is_fully_addressable:
        return array
    values = np.asarray(array)
    good = (values >= 0) & (values < np.inf)
    if not good.all():
        label = int(np.argmin(good))
        raise ValueError(
            f"class_weights must be finite and at least 0, got {values[label]} for class {label}"
        )
    return array
