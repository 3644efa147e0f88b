"""The typed configuration of a run: its keys, their meaning and the values they accept.

Files under configs/ hold plain `ml_collections.ConfigDict`s; `Config.parse` turns one into the
frozen dataclasses below, the only form the engine reads.
"""

import dataclasses
import fractions
import math
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NewType

import numpy as np

from dm_jax import errors

Parameters = Mapping[str, Any]
# "N steps", "N epochs" or "N examples"; a bare whole number counts steps.
Duration = NewType("Duration", str)
# Numbers with their minimum; all must be finite.
PositiveInt = Annotated[int, 1]
NonNegativeInt = Annotated[int, 0]
NonNegativeFloat = Annotated[float, 0]
# A name, or the import path of a custom function.
OptimizerName = Literal["sgd", "adam", "caffe_adam", "package.module:function"]
ScheduleName = Literal["constant", "steps", "inv", "cosine", "package.module:function"]


@dataclasses.dataclass(frozen=True)
class DataConfig:
    """The data set (a name of the catalogue), its augmentation and its splits."""

    name: str = "digits"
    data_dir: str = ""  # folder of prepared TFDS data sets; "" is TFDS's default
    augment: Literal["none", "crop_flip"] = "none"  # pad 4, random crop, horizontal flip
    resize: int = 256  # height and width that streamed images are scaled to ...
    crop: int = 224  # ... and those of the crop; crop_flip: at a random offset, flipped
    damaged: Literal["raise", "skip"] = "raise"  # where a streamed image cannot be decoded
    last_batch: Literal["wrap", "mask"] = "wrap"  # to the next epoch (Caffe), or padded and masked
    validation: float = 0.0  # fraction of the training set held out, stratified
    validation_labels: Literal["clean", "noisy"] = "clean"
    test: bool = True  # whether the test set is evaluated; a search sets False


@dataclasses.dataclass(frozen=True)
class NoiseConfig:
    """How the training labels are corrupted (`dm_jax.noise.corrupt`)."""

    kind: str = "symmetric"
    rate: float = 0.0
    seed: NonNegativeInt = 0
    imbalance: str = "none"
    ratio: float = 1.0


@dataclasses.dataclass(frozen=True)
class ModelConfig:
    """A network of `dm_jax.models`; `parameters` are specific to this network."""

    name: str = "mlp"  # or package.module:Class, a custom network
    pretrained: str = ""  # file with ImageNet weights to start from (`models.pretrained`); "": none
    dtype: Literal["float32", "bfloat16", "float64"] = "float32"  # float64 with jax_enable_x64
    dropout: float = 0.0
    parameters: Parameters = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """An emphasis density function and its `parameters`, such as lam and beta of DM."""

    name: str = "DM"
    normalization: Literal["batch", "density", "none"] = "batch"
    saturation: NonNegativeFloat = 1e-6
    class_weights: tuple[float, ...] = ()  # one per class, multiplying the emphasis; () is none
    schedule: Parameters = dataclasses.field(default_factory=dict)  # parameter -> end, "cosine 2.0"
    schedule_length: Duration = Duration("0 steps")  # over which scheduled parameters move
    parameters: Parameters = dataclasses.field(default_factory=dict)


# Keys of config.loss that are not parameters of the scheme.
LOSS_KEYS = frozenset(f.name for f in dataclasses.fields(LossConfig)) - {"parameters"}


def scheme_parameters(loss: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of the scheme among the keys of config.loss as plain values."""
    return {name: value for name, value in loss.items() if name not in LOSS_KEYS}


@dataclasses.dataclass(frozen=True)
class OptimizerConfig:
    """An optimiser of the tables, or a custom one. Weight decay is L2 in the gradient."""

    name: OptimizerName = "sgd"
    learning_rate: NonNegativeFloat = 0.1
    momentum: NonNegativeFloat = 0.9
    nesterov: bool = False
    epsilon: NonNegativeFloat = 1e-8  # Adam's; "delta" in Table 7
    weight_decay: NonNegativeFloat = 1e-4
    decay: Literal["all", "kernels"] = "all"  # all as in Caffe; kernels: no biases, no BatchNorm
    clip_norm: NonNegativeFloat = 0.0  # global norm of the gradient; 0 is off


@dataclasses.dataclass(frozen=True)
class ScheduleConfig:
    """The factor on the learning rate as a function of the step."""

    name: ScheduleName = "constant"
    boundaries: tuple[Duration, ...] = ()  # steps: at each, the rate is multiplied by factor
    factor: NonNegativeFloat = 0.1
    gamma: NonNegativeFloat = 1e-5  # inv: (1 + gamma * step) ** -power
    power: NonNegativeFloat = 0.75
    warmup: Duration = Duration("0 steps")


@dataclasses.dataclass(frozen=True)
class TrainConfig:
    """Length, batch sizes, and intervals of logging, evaluation and checkpoints."""

    length: Duration = Duration("1000 steps")
    batch_size: PositiveInt = 256
    log_every: Duration = Duration("100 steps")
    evaluate_every: Duration = Duration("100 steps")
    evaluate_batch: PositiveInt = 1000
    checkpoint_every: Duration = Duration("1000 steps")
    keep_checkpoints: PositiveInt = 2


@dataclasses.dataclass(frozen=True)
class ParallelConfig:
    """How the step is spread over devices and hosts."""

    mode: Literal["jit", "pmap"] = "jit"
    devices: NonNegativeInt = 0  # 0: all
    distributed: bool = False  # jax.distributed.initialize() before anything else
    coordinator: str = ""  # host:port; "" if SLURM or a TPU pod provides it
    processes: int = 0
    process: int = 0
    workers: NonNegativeInt = 0  # processes of each host that decode streamed images; 0: a thread


@dataclasses.dataclass(frozen=True)
class Config:
    """The configuration of a run.

    Raises:
      ValueError: an unknown choice, or a number out of range.
    """

    seed: NonNegativeInt = 0
    data: DataConfig = DataConfig()
    noise: NoiseConfig = NoiseConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = dataclasses.field(
        default_factory=lambda: LossConfig(parameters={"lam": 0.5, "beta": 8.0})
    )
    optimizer: OptimizerConfig = OptimizerConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    train: TrainConfig = TrainConfig()
    parallel: ParallelConfig = ParallelConfig()

    def __post_init__(self):
        _check_values(self)

    @classmethod
    def parse(cls, values: Mapping[str, Any]) -> "Config":
        """Reads a ConfigDict or nested dict.

        Raises:
          ValueError: an unknown key (names the nearest known one), or an invalid value.
          TypeError: a value of the wrong type.
        """
        return _parse(cls, values, "config")

    def to_dict(self) -> dict[str, Any]:
        """The same values as nested dicts of JSON types, parameters inlined as in a config file."""
        return _plain(self)


# A `jax.random.key` holds 32 bits of a seed.
_SEEDS = 2**32


def get(config: Config, path: str) -> Any:
    """The value of "group.key"."""
    group, key = path.split(".")
    return getattr(getattr(config, group), key)


def _check_values(config: Config) -> None:
    for path, kind, value in _leaves(config, "config"):
        _check_leaf(path, kind, value)
    if config.seed >= _SEEDS:
        raise ValueError(f"config.seed must be below {_SEEDS}, got {config.seed}")
    if not 0 <= config.data.validation < 1:
        raise ValueError(f"config.data.validation must be in [0, 1), got {config.data.validation}")


def _leaves(group: Any, path: str) -> Iterator[tuple[str, Any, Any]]:
    """(path, declared type, value) of every key below a group."""
    for field in dataclasses.fields(group):
        value, where = getattr(group, field.name), f"{path}.{field.name}"
        if dataclasses.is_dataclass(value):
            yield from _leaves(value, where)
        else:
            yield where, field.type, value


def _check_leaf(path: str, kind: Any, value: Any) -> None:
    """Raises ValueError or TypeError unless the declared type accepts the value."""
    if typing.get_origin(kind) is tuple:
        if not isinstance(value, tuple | list):
            raise TypeError(f"{path} must be a tuple, got {value!r}")
        for item in value:
            _check_leaf(path, kind.__args__[0], item)
    elif kind is Duration:
        try:
            steps(value, examples=1, batch_size=1)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None
    elif typing.get_origin(kind) is Literal:
        choices = typing.get_args(kind)
        takes_path = any(":" in choice for choice in choices)
        if value not in choices and not (takes_path and ":" in value):
            raise errors.unknown(f"value of {path}:", value, choices)
    elif typing.get_origin(kind) is Annotated:
        (minimum,) = kind.__metadata__
        if not minimum <= value < math.inf:
            finite = "" if isinstance(value, int) else "finite and "
            raise ValueError(f"{path} must be {finite}at least {minimum}, got {value}")


def _parse(cls: Any, values: Any, path: str) -> Any:
    _check_group(values, path)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    known, free = {}, {}
    for key, value in values.items():
        if key in fields and key != "parameters":
            known[key] = _convert(fields[key].type, value, f"{path}.{key}")
        elif "parameters" in fields:
            free[key] = _free(value, f"{path}.{key}")
        else:
            raise errors.unknown(
                "config key", f"{path}.{key}", [f"{path}.{name}" for name in fields]
            )
    if "parameters" in fields:
        known["parameters"] = free
    return cls(**known)


def _check_group(values: Any, path: str) -> None:
    if not isinstance(values, Mapping) and not hasattr(values, "items"):
        raise TypeError(f"{path} must be a group of keys, got {values!r}")


def _free(value: Any, path: str) -> Any:
    """A value without a declared type, which must be JSON-serialisable; a list as a tuple."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, tuple | list):
        return tuple(_free(item, f"{path}[{i}]") for i, item in enumerate(value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"{path} must be a number, a string or a tuple of them, got {value!r}")


def _convert(kind: Any, value: Any, path: str) -> Any:
    """`value` as the declared type.

    Accepts an int for a float, a list for a tuple and NumPy scalars for Python's, nothing else.
    """
    if dataclasses.is_dataclass(kind):
        return _parse(kind, value, path)
    if kind is Parameters:
        _check_group(value, path)
        return {key: _free(item, f"{path}.{key}") for key, item in value.items()}
    if isinstance(value, np.generic):
        value = value.item()
    if typing.get_origin(kind) is Annotated:
        kind = kind.__origin__
    if typing.get_origin(kind) is Literal:
        kind = str
    if typing.get_origin(kind) is tuple:
        item = kind.__args__[0]
        if not isinstance(value, tuple | list):
            plain = getattr(item, "__supertype__", item)
            raise TypeError(f"{path} must be a tuple of {plain.__name__}, got {value!r}")
        return tuple(_convert(item, v, f"{path}[{i}]") for i, v in enumerate(value))
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if kind is Duration:
        kind = str
        if type(value) is int or (type(value) is str and value.strip().isdecimal()):
            value = f"{int(value)} steps"
    if type(value) is not kind:
        raise TypeError(f"{path} must be of type {kind.__name__}, got {value!r}")
    return value


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        items = {f.name: _plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
        parameters = items.pop("parameters", {})
        return items | parameters
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def steps(duration: str, *, examples: int, batch_size: int, last_batch: str = "wrap") -> int:
    """A duration as a number of steps, at least 0, rounded up.

    Args:
      duration: "N steps", "N epochs" or "N examples".
      examples: in an epoch.
      batch_size: examples per step.
      last_batch: of `DataConfig`; with "mask", no step spans two epochs.

    >>> steps("10 epochs", examples=1000, batch_size=300)
    34
    >>> steps("10 epochs", examples=1000, batch_size=300, last_batch="mask")
    40
    """
    try:
        number, unit = duration.split()
        size = {"steps": batch_size, "epochs": examples, "examples": 1}[unit]
        finite = math.isfinite(float(number))
        # Exact: in floats 1.1 epochs of 50,000 end an example later.
        amount = fractions.Fraction(number) if finite else -1
    except (AttributeError, KeyError, ValueError):
        raise ValueError(
            f"a duration reads like '30000 steps', '40 epochs' or '1e6 examples', got {duration!r}"
        ) from None
    if amount < 0:
        raise ValueError(f"a duration must be finite and at least 0, got {duration!r}")
    if last_batch == "mask" and unit != "steps":
        epochs, rest = divmod(amount * size, max(examples, 1))
        return epochs * math.ceil(examples / batch_size) + math.ceil(rest / batch_size)
    return math.ceil(amount * size / batch_size)
