"""The base class of emphasis density functions, and what it derives from ``weight(p)`` alone."""

import dataclasses
import math
from collections.abc import Callable
from typing import Any, ClassVar, dataclass_transform

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.nn import log_sigmoid, sigmoid
from jax.typing import ArrayLike

from dm_jax import quadrature

# Beyond this margin p (or q) leaves float32; every scheme is a power law there, a line in log
# space.
_FAR = 80.0


def parameter(
    *, minimum: float = -math.inf, maximum: float = math.inf, default: Any = dataclasses.MISSING
) -> Any:
    """A field of an EDF: a traced leaf whose value, where it is concrete, lies in the range."""
    metadata = {"minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata=metadata)


def static(*, default: Any = dataclasses.MISSING) -> Any:
    """A field of an EDF that is part of its structure (a function, a name): never traced."""
    return dataclasses.field(default=default, metadata={"static": True})


@dataclass_transform(frozen_default=True, field_specifiers=(parameter, static))
class EDF:
    """An emphasis density function: how much gradient an example of probability p = p_y receives.

    A subclass is made a frozen dataclass and a pytree by subclassing. Its fields are traced leaves,
    so one compiled step serves all their values; `static` fields are not. `weight` is all it has to
    define:

    >>> class Cosine(EDF):
    ...     rate: float
    ...     def weight(self, p):
    ...         return 1 + jnp.cos(self.rate * p)
    >>> edf = Cosine(rate=3.0)
    >>> print(edf, float(edf.weight(0.0)))
    Cosine(rate=3.0) 2.0

    Arguments and results of the methods are elementwise, of any shape.
    """

    static_fields: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(frozen=True, repr=False)(cls)
        _register(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if not field.metadata.get("static"):
                value = _checked(type(self).__name__, field, getattr(self, field.name))
                object.__setattr__(self, field.name, value)

    def __repr__(self) -> str:
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        values = (f"{name}={_readable(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({', '.join(values)})"

    def weight(self, p: ArrayLike) -> Array:
        """w(p): the L1 norm of the gradient of an example whose label has probability p."""
        raise NotImplementedError(f"{type(self).__name__} must define weight(p)")

    def log_weight(self, margin: ArrayLike) -> Array:
        """log w at p = sigmoid(margin); -inf where the weight is zero."""
        return log_of_function(self.weight, margin)

    def log_integral(self) -> Array:
        """log of the integral of w over [0, 1], the constant of Eq. 8."""
        return quadrature.log_integral(
            lambda m: self.log_weight(m) + log_sigmoid(m) + log_sigmoid(-m)
        )

    def density(self, p: ArrayLike) -> Array:
        """h(p) = w(p) / integral of w over [0, 1] (Eq. 8)."""
        return jnp.exp(self.log_weight(logit(p)) - self.log_integral())

    @property
    def mode(self) -> Array:
        """psi, the probability p at which the weight is largest."""
        return sigmoid(quadrature.argmax(self.log_weight))

    def potential(self, margin: ArrayLike) -> Array:
        """phi(m), the loss whose derivative by the margin is -w/2, with phi(0) = 0."""
        margin = as_float(margin)
        return -0.5 * quadrature.integral_from_zero(lambda m: jnp.exp(self.log_weight(m)), margin)


def as_float(value: ArrayLike) -> Array:
    """A floating point array: integers become the default float."""
    array = jnp.asarray(value)
    return array if jnp.issubdtype(array.dtype, jnp.floating) else array.astype(float)


def logit(p: ArrayLike) -> Array:
    """The margin of a probability; +-inf at the ends is cut to the largest finite float."""
    p = as_float(p)
    return jnp.clip(jnp.log(p) - jnp.log1p(-p), jnp.finfo(p.dtype).min, jnp.finfo(p.dtype).max)


def log_of_function(function: Callable[[Array], Array], margin: ArrayLike) -> Array:
    """log f(sigmoid(m)) for a positive f of p that is known as a program only.

    p loses the digits of 1 - p when it is rounded; the first-order term restores them. Beyond
    `_FAR`, where p itself leaves the range of float32, log f is continued as a line: exact for
    every power of p or 1 - p.
    """
    margin = as_float(margin)
    near = jnp.clip(margin, -_FAR, _FAR)
    value, slope = jax.jvp(lambda m: _log_near(function, m), (near,), (jnp.ones_like(near),))
    beyond = jnp.where(jnp.isfinite(slope), slope, 0.0) * (margin - near)
    return value + beyond


def _log_near(function: Callable[[Array], Array], margin: Array) -> Array:
    p, q = sigmoid(margin), sigmoid(-margin)
    lost = jax.lax.stop_gradient((1 - p) - q)
    value, slope = jax.jvp(function, (p,), (jnp.ones_like(p),))
    corrected = value + jnp.where(jnp.isfinite(slope), slope, 0.0) * lost
    positive = corrected > 0
    return jnp.where(positive, jnp.log(jnp.where(positive, corrected, 1.0)), -jnp.inf)


def _register(cls: type) -> None:
    """Registers the dataclass as a pytree that is rebuilt without its constructor.

    A tree of EDFs holds anything: tracers, gradients, shapes. Checking those values would be wrong
    and, for the results of a compiled step, would wait for the device.
    """
    fields = dataclasses.fields(cls)
    static_names = tuple(f.name for f in fields if f.metadata.get("static"))
    names = tuple(f.name for f in fields if not f.metadata.get("static"))

    def flatten(edf: Any) -> tuple[list, tuple]:
        children = [(jax.tree_util.GetAttrKey(name), getattr(edf, name)) for name in names]
        return children, tuple(getattr(edf, name) for name in static_names)

    def unflatten(values: tuple, leaves: Any) -> Any:
        edf: Any = object.__new__(cls)
        for name, value in zip(names + static_names, (*leaves, *values), strict=True):
            object.__setattr__(edf, name, value)
        return edf

    jax.tree_util.register_pytree_with_keys(cls, flatten, unflatten)


def _checked(owner: str, field: dataclasses.Field, value: Any) -> Any:
    """The value as a leaf; raises where it is concrete and wrong."""
    if value is None or isinstance(value, (str, bool)):
        raise TypeError(f"{owner}: {field.name} must be a number, got {value!r}")
    if isinstance(value, (int, float, np.number)):
        value = float(value)
    concrete = isinstance(value, (float, np.ndarray)) or (
        isinstance(value, jax.Array) and not isinstance(value, jax.core.Tracer)
    )
    if concrete:
        _check_range(owner, field, np.asarray(value))
    return value


def _check_range(owner: str, field: dataclasses.Field, value: np.ndarray) -> None:
    low = field.metadata.get("minimum", -math.inf)
    high = field.metadata.get("maximum", math.inf)
    if not (np.isfinite(value).all() and (value >= low).all() and (value <= high).all()):
        accepted = f"finite and in [{low:g}, {high:g}]" if low > -math.inf else "finite"
        raise ValueError(f"{owner}: {field.name} must be {accepted}, got {value}")


def _readable(value: Any) -> str:
    """Numbers as numbers, functions by name; arrays and tracers as they print themselves."""
    if isinstance(value, (jax.Array, np.ndarray)) and not isinstance(value, jax.core.Tracer):
        return f"{float(value):.6g}" if value.ndim == 0 else f"{value.dtype}{list(value.shape)}"
    return getattr(value, "__name__", None) or repr(value)
