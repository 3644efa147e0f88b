"""The base class of emphasis density functions, which derives everything from `weight(p)`."""

import dataclasses
import inspect
import itertools
from collections.abc import Callable
from typing import Any, NoReturn, Self, dataclass_transform

import jax.numpy as jnp
from jax import Array
from jax.nn import sigmoid
from jax.typing import ArrayLike

from dm_jax.dtypes import widened
from dm_jax.emphasis import quadrature
from dm_jax.emphasis.fields import checked, is_static, parameter, readable, register, static
from dm_jax.emphasis.log_function import log_of_function
from dm_jax.emphasis.probability import as_float, log_p_and_q, logit


@dataclass_transform(frozen_default=True, field_specifiers=(parameter, static))
class EDF:
    """An emphasis density function: how much gradient an example of probability p = p_y receives.

    Every subclass is made a frozen dataclass and a pytree. Its fields are traced leaves, so one
    compiled step serves all their values; `static` fields are not traced. Only `weight` must be
    defined; a subclass that redefines it inherits nothing derived from its parent's weight:

    >>> class Cosine(EDF):
    ...     rate: float
    ...     def weight(self, p):
    ...         return 1 + jnp.cos(self.rate * p)
    >>> edf = Cosine(rate=3.0)
    >>> print(edf, float(edf.weight(0.0)))
    Cosine(rate=3.0) 2.0

    The methods are elementwise: they take probabilities in [0, 1] or finite margins of any shape.
    Parameters that are arrays broadcast with them. The result is floating, in the argument's dtype
    or a wider one. `log_scale`, `log_area` and `mode` depend on the parameters alone.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        _check_parameters(cls)
        _rederive(cls)
        dataclasses.dataclass(frozen=True, repr=False)(cls)
        _allow_decorators(cls)
        register(cls)

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # type: ignore[arg-type]
            if not is_static(field):
                value = checked(type(self).__name__, field, getattr(self, field.name))
                object.__setattr__(self, field.name, value)

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot assign to {name!r}; use replace")

    def __delattr__(self, name: str) -> NoReturn:
        raise dataclasses.FrozenInstanceError(f"cannot delete {name!r}")

    def replace(self, **changes: Any) -> Self:
        """A copy with other values of some parameters.

        Raises:
          TypeError: an unknown parameter, or a value that is no number.
          ValueError: a value outside the parameter's range.
        """
        return dataclasses.replace(self, **changes)  # type: ignore[type-var]

    def __repr__(self) -> str:
        names = [field.name for field in dataclasses.fields(self)]  # type: ignore[arg-type]
        values = (f"{name}={readable(getattr(self, name))}" for name in names)
        return f"{type(self).__name__}({', '.join(values)})"

    def weight(self, p: ArrayLike) -> Array:
        """w(p): the L1 norm of the gradient of an example whose label has probability p."""
        raise NotImplementedError(f"{type(self).__name__} must define weight(p)")

    def log_weight(self, margin: ArrayLike) -> Array:
        """log w at p = sigmoid(margin); -inf where the weight is zero."""
        return log_of_function(self.weight, margin)

    def log_shape(self, margin: ArrayLike) -> Array:
        """log w - `log_scale`: all that a normalised weight depends on."""
        return self.log_weight(margin)

    @property
    def log_scale(self) -> Array:
        """The log of a constant factored out of w, so that normalised weights need no exp(beta)."""
        return jnp.zeros(())

    def log_area(self) -> Array:
        """log of the integral of exp(log_shape) over p in [0, 1], the constant of Eq. 8.

        That of w itself is larger by `log_scale`.
        """
        return quadrature.log_integral(lambda m: self.log_shape(m) + sum(log_p_and_q(m)))

    def density(self, p: ArrayLike) -> Array:
        """h(p) = w(p) / integral of w over [0, 1] (Eq. 8)."""
        margin = logit(widened(as_float(p)))
        return jnp.exp(self.log_shape(margin) - self.log_area())

    @property
    def mode(self) -> Array:
        """psi, the probability p at which the weight is largest.

        Its derivative with respect to the parameters is 0 where the weight has a kink or a jump at
        that probability.
        """
        return sigmoid(quadrature.argmax(self.log_shape))

    def potential(self, margin: ArrayLike) -> Array:
        """phi(m), the loss whose derivative with respect to m is -w/2, with phi(0) = 0."""
        margin = as_float(margin)
        integral = quadrature.integral_from_zero(
            lambda m: jnp.exp(self.log_weight(m)), widened(margin)
        )
        return (-0.5 * integral).astype(margin.dtype)


def _check_parameters(cls: type[EDF]) -> None:
    """Raises TypeError if a parameter has the name of an attribute of every EDF."""
    for name in inspect.get_annotations(cls):
        if hasattr(EDF, name):
            raise TypeError(
                f"{cls.__name__}: a parameter cannot be called {name!r}, the name of an attribute "
                "of every EDF"
            )


def _allow_decorators(cls: type[EDF]) -> None:
    """Lets a scheme be decorated once more, with `flax.struct.dataclass` or `dataclass`."""
    cls._flax_dataclass = True  # type: ignore[attr-defined]  # flax then returns it as it is
    del cls.__setattr__, cls.__delattr__  # dataclass would not overwrite them; EDF has its own
    cls.__repr__ = cls.__repr__  # type: ignore[method-assign]  # dataclass would replace it


_OF_ANY = {name: vars(EDF)[name] for name in ("log_scale", "log_area", "mode", "potential")}


def _rederive(cls: type[EDF]) -> None:
    """Replaces inherited methods that hold for the parent's weight only."""
    own = _defined_anew(cls)
    # The ways to define a scheme; the last one that a class defines counts.
    defined = [
        source for source in ("log_scale", "weight", "log_weight", "log_shape") if source in own
    ]
    if not defined:
        return
    for name, method in (_OF_ANY | _derived(cls, defined[-1])).items():
        if name not in own:
            setattr(cls, name, method)


def _derived(cls: type[EDF], source: str) -> dict[str, Callable[..., Array]]:
    """Methods that follow from `source`, as defined by `cls` even where a subclass overrides it."""

    def own(self: EDF, name: str) -> Any:
        """The attribute of `cls`: a method bound to `self`, the value of a property, a constant."""
        attribute = inspect.getattr_static(cls, name)
        return attribute.__get__(self, type(self)) if hasattr(attribute, "__get__") else attribute

    def weight(self: EDF, p: ArrayLike) -> Array:
        """w(p), from `log_weight`."""
        return jnp.exp(own(self, "log_weight")(logit(p)))

    def log_weight_of_weight(self: EDF, margin: ArrayLike) -> Array:
        """log w, from `weight`."""
        return log_of_function(own(self, "weight"), margin)

    def log_weight_of_shape(self: EDF, margin: ArrayLike) -> Array:
        """log w, from `log_shape` and `log_scale`."""
        return own(self, "log_shape")(margin) + own(self, "log_scale")

    def log_shape(self: EDF, margin: ArrayLike) -> Array:
        """log w."""
        return own(self, "log_weight")(margin)

    of_shape: dict[str, Callable[..., Array]] = {
        "weight": weight,
        "log_weight": log_weight_of_shape,
    }
    of_source: dict[str, dict[str, Callable[..., Array]]] = {
        "log_scale": of_shape,
        "weight": {"log_weight": log_weight_of_weight, "log_shape": log_shape},
        "log_weight": {"weight": weight, "log_shape": log_shape},
        "log_shape": of_shape,
    }
    return of_source[source]


def _defined_anew(cls: type[EDF]) -> set[str]:
    """Names defined by the class or by a mixin before its first EDF parent."""
    _, *parents = cls.__mro__
    mixins = itertools.takewhile(lambda parent: not issubclass(parent, EDF), parents)
    return {name for source in (cls, *mixins) for name in vars(source)}
