"""Changes a config by the arguments of its file, such as "method=DM,lam=0.5,rate=0.4"."""

import difflib
import importlib
import types
import typing
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

import ml_collections

from configs import length

# Defaults of the schemes' parameters: DM's are published, GCE's is from its own paper. OURS: those
# of Normal, Exponential and Beta.
_METHODS = {
    "DM": {"lam": 0.5, "beta": 8.0},
    "CCE": {},
    "MAE": {},
    "MSE": {},
    "GCE": {"q": 0.7},
    "Normal": {"psi": 0.5, "beta": 8.0},
    "Exponential": {"beta": 1.0},
    "Beta": {"alpha": 1.5, "eta": 2.0},
}
# Without "-DN", they keep the weight of their own gradient.
_LOSSES = ("CCE", "MAE", "MSE", "GCE")
# Parameters of the networks that have any.
_NETWORKS = {
    "mlp": {"hidden": (8,)},
    "googlenet": {"auxiliary": False},
    "googlenet_32": {"auxiliary": False},
}
_SHORT = {
    "noise": "noise.kind",
    "rate": "noise.rate",
    "imbalance": "noise.imbalance",
    "ratio": "noise.ratio",
    "model": "model.name",
}
# They set several keys, so they apply first: a key that is given too overrides them.
_FIRST = ("seed", "steps")
# Keys of config.loss and config.model that are not parameters of the scheme or the network.
_LOSS_KEYS = (
    "name", "normalization", "saturation", "class_weights", "schedule", "schedule_length",
)  # fmt: skip
_MODEL_KEYS = ("name", "pretrained", "dtype", "dropout")
# Arguments without a dot that are not parameters of a loss.
_UNDOTTED = ("method", "seed", "steps", *_SHORT)


def apply(config: ml_collections.ConfigDict, arguments: str) -> ml_collections.ConfigDict:
    """Applies "method=DM,lam=0.5,beta=8,noise=symmetric,rate=0.4,seed=1" to a config in place.

    `method` is a scheme, in any case; parameters not given keep the config's values or take their
    defaults. CCE, MAE, MSE and GCE take "-DN" for normalisation over the batch; all others are
    normalised unless "loss.normalization=none" is given. A custom scheme is "package.module:name",
    of a class or an EDF. `seed` sets the seeds of the run and the noise, `steps` the length,
    scaling the config's schedules with it before the other arguments apply. Any key can be given in
    full: "train.batch_size=64" or, to schedule a parameter, "loss.schedule.lam=1". Several values
    are separated by ";": "schedule.name=steps,schedule.boundaries=500 steps;800 steps".

    Returns:
      The same config.

    Raises:
      ValueError: an argument is not `name=value`, or repeated, or its name or value is not valid.
    """
    given = _pairs(arguments)
    if "steps" in given and "train.length" in given:
        raise ValueError("'steps' and 'train.length' both set the length; give one of them")
    if "method" in given:
        _refuse_ambiguous(given)
        _set_method(config, given.pop("method"))
    model = given.get("model.name", given.get("model", config.model.name))
    if model != config.model.name:
        _remove_parameters(config.model, _MODEL_KEYS)
        config.model.update(_NETWORKS.get(model, {}))
        config.model.pretrained = ""  # it holds another network's weights
    for name, text in sorted(given.items(), key=_precedence):
        if name == "seed":
            config.seed = config.noise.seed = _read(name, text, int)
        elif name == "steps":
            _set_steps(config, text)
        else:
            _set(config, name, text)
    if given.get("schedule.boundaries") and config.schedule.name != "steps":
        raise ValueError(
            "config argument 'schedule.boundaries' requires schedule.name=steps, got schedule.name="
            f"{config.schedule.name}"
        )
    return config


def _set_steps(config: ml_collections.ConfigDict, text: str) -> None:
    steps = _read("steps", text, int)
    if steps < 1:
        raise ValueError(f"config argument 'steps' must be at least 1, got {text}")
    number, unit = length.split(config.train.length)
    if unit != "steps" or not number:
        raise ValueError(
            f"'steps' scales a length in steps, but train.length is {config.train.length!r}; set "
            "train.length instead"
        )
    length.scale(config, steps / number)


def _precedence(argument: tuple[str, str]) -> tuple[bool, bool]:
    """The network first, as a custom one accepts further keys; then `_FIRST`."""
    name, _ = argument
    return _path(name) != "model.name", name not in _FIRST


def _set_method(config: ml_collections.ConfigDict, method: str) -> None:
    name = _without_dn(method)
    normalised = name != method
    if ":" not in name:
        canonical = {known.lower(): known for known in _METHODS}
        if name.lower() not in canonical:
            raise _unknown_error("method", method, name, _METHODS)
        name = canonical[name.lower()]
    normalised = normalised or is_always_normalised(name)
    config.loss.normalization = "batch" if normalised else "none"
    if name == config.loss.name:
        return
    _remove_parameters(config.loss, _LOSS_KEYS)
    config.loss.schedule, config.loss.schedule_length = {}, "0 steps"
    config.loss.name = name
    config.loss.update(_METHODS.get(name, {}))


def _remove_parameters(group: ml_collections.ConfigDict, kept: Collection[str]) -> None:
    """Removes those of the old scheme or network; the new one has its own."""
    for key in [key for key in group if key not in kept]:
        del group[key]


def _without_dn(method: str) -> str:
    return method[: -len("-dn")] if method.lower().endswith("-dn") else method


def _refuse_ambiguous(given: Mapping[str, str]) -> None:
    """Raises ValueError if "rate=2" may have been meant for a parameter of a custom scheme."""
    method = given["method"]
    parameters = _parameters(_without_dn(method))
    for name in _UNDOTTED:
        if name in given and f"loss.{name}" not in given and name in parameters:
            raise ValueError(
                f"{name!r} is a parameter of {method} and also {_SHORT.get(name, name)} of the "
                f"config; set the parameter as loss.{name}=VALUE"
            )


def _parameters(path: str) -> Mapping[str, Any]:
    """{parameter: its dataclass field} of a custom scheme, "module:name".

    Empty if it cannot be imported, which is reported later.
    """
    module, _, name = path.partition(":")
    try:
        return getattr(importlib.import_module(module), name).__dataclass_fields__ if name else {}
    except Exception:  # custom code may raise anything
        return {}


def is_always_normalised(name: str) -> bool:
    """Whether a scheme is normalised over the batch without "-DN": all but the common losses."""
    return name.upper() not in _LOSSES


def parse(arguments: str) -> dict[str, str]:
    """{config key: value} of such arguments, sorted; `seed` and `steps` come first, as in `apply`.

    >>> parse("model=resnet20,beta=4,steps=9")
    {'steps': '9', 'loss.beta': '4', 'model.name': 'resnet20'}
    """
    long = {_path(argument): value for argument, value in _pairs(arguments).items()}
    return dict(sorted(long.items(), key=lambda item: (item[0] not in _FIRST, item[0])))


def format_changes(changes: Mapping[str, str]) -> str:
    """Changes as config arguments, the inverse of `parse`.

    >>> format_changes({"loss.beta": "4", "model.name": "resnet20"})
    'beta=4,model=resnet20'
    """
    return ",".join(f"{short_name(key)}={value}" for key, value in changes.items())


def short_name(key: str) -> str:
    """The shortest argument that sets a config key."""
    bare = key.removeprefix("loss.")
    if bare in _UNDOTTED or "." in bare:  # a parameter may be called "rate"
        bare = key
    return {path: name for name, path in _SHORT.items()}.get(key, bare)


def _path(argument: str) -> str:
    if argument in _UNDOTTED or "." in argument:
        return _SHORT.get(argument, argument)
    return f"loss.{argument}"


def _set(config: ml_collections.ConfigDict, argument: str, text: str) -> None:
    """Sets the argument's key to the text, converted to the type of its present value."""
    *groups, key = _path(argument).split(".")
    whole = config
    for name in groups:
        _check_known(argument, name, config, whole)
        config = config[name]
    if groups == ["loss", "schedule"]:
        config[key] = text  # stays text, because it may name a curve: "cosine 2.0"
    elif groups == ["loss"] and ":" in config.name and key not in config:
        config[key] = _parameter(config.name, key, text)
    elif groups == ["model"] and ":" in config.name and key not in config:
        config[key] = _guessed(text)  # its module is not imported before hosts have joined
    else:
        _check_known(argument, key, config, whole)
        if isinstance(config[key], ml_collections.ConfigDict):
            raise _group_error(argument, config[key])
        config[key] = _read(argument, text, type(config[key]))


def _values(text: str) -> tuple[int | float | str, ...]:
    """The values separated by ";", as numbers where possible."""
    return tuple(_number_or_text(one.strip()) for one in text.split(";") if one.strip())


def _parameter(path: str, name: str, text: str) -> Any:
    """The value of a custom scheme's parameter: a float if it is declared as one."""
    value, field = _guessed(text), _parameters(path).get(name)
    if type(value) is int and field is not None and _is_float(field.type):
        return float(value)
    return value


def _is_float(annotation: Any) -> bool:
    """Whether a type, which may be a text, is float or a union with float but without int."""
    if isinstance(annotation, str):
        kinds = {kind.strip() for kind in annotation.split("|")}
        return "float" in kinds and "int" not in kinds
    kinds = set(typing.get_args(annotation) if _is_union(annotation) else (annotation,))
    return float in kinds and int not in kinds


def _is_union(annotation: Any) -> bool:
    return typing.get_origin(annotation) in (typing.Union, types.UnionType)


def _guessed(text: str) -> Any:
    """The value of a text whose type is not declared."""
    if ";" in text:
        return _values(text)
    return {"true": True, "false": False}.get(text.lower(), _number_or_text(text))


def _number_or_text(text: str) -> int | float | str:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


_READERS: dict[type, Callable[[str], Any]] = {
    tuple: _values,
    bool: lambda text: {"true": True, "false": False}[text.lower()],
    str: str,
    int: int,
    float: float,
}


def _check_known(argument: str, name: str, config: Any, whole: ml_collections.ConfigDict) -> None:
    """Raises ValueError unless the config, a group of the whole one, has the key `name`."""
    known = list(config) if isinstance(config, ml_collections.ConfigDict) else []
    if name in known:
        return
    if "." in argument:
        raise _unknown_error("config argument", argument, name, known)
    groups = [group for group, keys in whole.items() if isinstance(keys, ml_collections.ConfigDict)]
    if argument in groups:
        raise _group_error(argument, whole[argument])
    in_full = {key: f"{group}.{key}" for group in groups for key in whole[group]}
    raise _unknown_error("config argument", argument, name, [*known, *_UNDOTTED], in_full)


def _unknown_error(
    what: str,
    given: str,
    name: str,
    known: Iterable[str],
    in_full: Mapping[str, str] | None = None,
) -> ValueError:
    """The error for a name that is not known, with the nearest one that is.

    `in_full` has further names -> how to write them, which are not listed.
    """
    written = {**(in_full or {}), **{one: one for one in known}}
    in_any_case = {one.lower(): full for one, full in written.items()}
    near = difflib.get_close_matches(name.lower(), in_any_case, n=1)
    hint = f"; did you mean {in_any_case[near[0]]!r}?" if near else "."
    more = ", or any key in full, such as train.batch_size" if in_full else ""
    return ValueError(f"unknown {what} {given!r}{hint} Known: {', '.join(sorted(known))}{more}")


def _group_error(argument: str, keys: Collection[str]) -> ValueError:
    which = f" (keys: {', '.join(sorted(keys))})" if keys else ""
    return ValueError(
        f"config argument {argument!r} is a group of keys; set {argument}.KEY=value{which}"
    )


def _read(argument: str, text: str, kind: type) -> Any:
    try:
        return _READERS[kind](text)
    except (KeyError, ValueError):
        raise ValueError(
            f"config argument {argument!r} must be of type {kind.__name__}, got {text!r}"
        ) from None


def _pairs(arguments: str) -> dict[str, str]:
    """{argument: value}; raises ValueError if two set the same key."""
    pairs: dict[str, str] = {}
    given: dict[str, str] = {}  # by key
    for text in filter(None, arguments.split(",")):
        name, value = parse_pair(text)
        key = _path(name)
        if key in given:
            raise ValueError(f"arguments set {key} twice: {given[key].strip()}, {text.strip()}")
        pairs[name], given[key] = value, text
    return pairs


def parse_pair(text: str, what: str = "arguments") -> tuple[str, str]:
    """Splits "name=value", with or without spaces; raises ValueError if there is no "="."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{what} must be name=value,name=value, got {text!r}")
    return name.strip(), value.strip()
