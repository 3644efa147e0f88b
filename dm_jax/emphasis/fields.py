"""The fields of an EDF: range-checked parameters, static fields, registration as a pytree."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import serialization
from jax.sharding import PartitionSpec


def parameter(
    *,
    minimum: float = -math.inf,
    maximum: float = math.inf,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
) -> Any:
    """A field of an EDF: a traced leaf, a number or an array, whose concrete values are checked.

    A field without this call is a parameter of any finite value. The check is made when an EDF is
    constructed and by `replace`; traced values are not checked.

    Args:
      minimum: smallest value accepted.
      maximum: largest value accepted.
      default: as of any dataclass field.
      default_factory: returns the default; an array needs it, as in any dataclass.

    Constructing the EDF raises ValueError if a value is out of range or not finite, and TypeError
    if it is no number.
    """
    metadata = {"minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, default_factory=default_factory, metadata=metadata)


def static(
    *, default: Any = dataclasses.MISSING, default_factory: Any = dataclasses.MISSING
) -> Any:
    """A field of an EDF that is part of its structure (a function, a name): never traced.

    Another value compiles another program; it must be hashable.

    Args:
      default: as of any dataclass field.
      default_factory: as of any dataclass field.
    """
    return dataclasses.field(
        default=default, default_factory=default_factory, metadata={"static": True}
    )


def is_static(field: dataclasses.Field) -> bool:
    """Whether the field was declared with `static`."""
    return field.metadata.get("static", False)


def values(edf: Any) -> dict[str, Any]:
    """The traced parameters, as {name: value}."""
    traced = (f.name for f in dataclasses.fields(edf) if not is_static(f))
    return {name: getattr(edf, name) for name in traced}


def register(cls: type) -> None:
    """Registers the dataclass as a pytree that is unflattened without calling its constructor.

    The leaves may be anything: tracers, gradients, shapes. Checking them would be wrong and, for
    the results of a compiled step, would wait for the device.

    `flax.serialization` is told of it, too; its state is the traced fields by name.
    """
    fields = dataclasses.fields(cls)
    static_names = tuple(f.name for f in fields if is_static(f))
    names = tuple(f.name for f in fields if not is_static(f))

    def flatten(edf: Any) -> tuple[list, tuple]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(edf, name)) for name in names]
        return children, tuple(getattr(edf, name) for name in static_names)

    def unflatten(values: tuple, leaves: Any) -> Any:
        edf: Any = object.__new__(cls)
        for name, value in zip(names + static_names, (*leaves, *values), strict=True):
            object.__setattr__(edf, name, value)
        return edf

    def to_state(edf: Any) -> dict[str, Any]:
        """{name: state of the traced field}."""
        return {name: serialization.to_state_dict(getattr(edf, name)) for name in names}

    def from_state(edf: Any, state: dict[str, Any]) -> Any:
        """An EDF with the traced fields of a state and the static ones of `edf`."""
        if state.keys() != set(names):
            raise ValueError(
                f"the state of a {cls.__name__} has {', '.join(names)}, got {', '.join(state)}"
            )
        restored = [
            serialization.from_state_dict(getattr(edf, name), state[name], name=name)
            for name in names
        ]
        return unflatten(tuple(getattr(edf, name) for name in static_names), restored)

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)
    serialization.register_serialization_state(cls, to_state, from_state)


def checked(owner: str, field: dataclasses.Field, value: Any) -> Any:
    """The value as a leaf; raises if it is concrete and invalid."""
    if isinstance(value, (int, float, np.floating, np.integer)) and not isinstance(value, bool):
        value = float(value)
    if isinstance(value, (np.ndarray, jax.Array)) and jnp.issubdtype(value.dtype, jnp.integer):
        value = value.astype(int)  # -beta of a small or unsigned integer would wrap round
    parts = value if isinstance(value, tuple) and value else (value,)
    composed = all(map(dataclasses.is_dataclass, parts))  # EDFs, which checked their fields
    if composed or isinstance(value, jax.core.Tracer):
        return value
    kinds = (jnp.floating, jnp.integer)
    dtype: Any = getattr(value, "dtype", np.dtype(float))
    is_array = isinstance(value, (float, np.ndarray, jax.Array))
    if not is_array or not any(jnp.issubdtype(dtype, kind) for kind in kinds):
        is_axis = value is None or isinstance(value, PartitionSpec)
        raise TypeError(
            f"{owner}: {field.name} must be a number or an array of numbers, got {value!r}"
            + ("; write in_axes and in_specs with jax.tree.unflatten" if is_axis else "")
        )
    if getattr(value, "is_fully_addressable", True):  # other hosts check their parts of an array
        _check_range(owner, field, np.asarray(value))
    return value


def _check_range(owner: str, field: dataclasses.Field, value: np.ndarray) -> None:
    low = field.metadata.get("minimum", -math.inf)
    high = field.metadata.get("maximum", math.inf)
    if not (np.isfinite(value).all() and (value >= low).all() and (value <= high).all()):
        bounded = (low, high) != (-math.inf, math.inf)
        accepted = f"finite and in [{low:g}, {high:g}]" if bounded else "finite"
        raise ValueError(f"{owner}: {field.name} must be {accepted}, got {value}")


def readable(value: Any) -> str:
    """A value for `repr`: scalars as numbers, arrays as dtype and shape, functions by name."""
    if isinstance(value, (jax.Array, np.ndarray)) and not isinstance(value, jax.core.Tracer):
        if value.dtype == jax.dtypes.float0:  # of an integer's gradient
            return f"float0{list(value.shape)}"
        return f"{float(value):.6g}" if value.ndim == 0 else f"{value.dtype}{list(value.shape)}"
    return getattr(value, "__name__", None) or repr(value)
