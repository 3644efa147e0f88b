"""The result of one run, and the line of results.jsonl that holds it."""

import dataclasses
import hashlib
import json
import math
import types
import typing
from collections.abc import Mapping
from typing import Any

SCHEMA = 1
STATUSES = ("ok", "failed")
# Fields added to this schema later; lines without them get the default.
_LATER = {"data", "weight_profile"}
Key = tuple[str, str, str, int]  # table, row, column, seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """The result of one run of a table's cell, and everything needed to run it again.

    Attributes:
      table, row, column: the cell; a published table's names are those of `experiments.paper`.
      seed: seed of the run.
      final, best: test accuracy at the end and the best seen, in percent; NaN in a failed run.
      metrics: further numbers by name, accuracies in percent (`train_corrupted`, `train_intact`).
      curves: series by name, all as long as `steps`, which is present if any is; accuracies
        in percent, mean probabilities (`p_clean`, `p_noisy`) in [0, 1].
      config: the run's whole config as plain values.
      config_hash: the config's `hash_config`.
      corruption: hash of the training labels' corruption.
      data: fingerprint of the data set; "" in lines older than the field.
      weight_profile: that of a custom scheme (`dm_jax.train.weight_profile`); [] of a built-in one,
        and in lines older than the field.
      versions: package versions by name.
      device: description of the device.
      date: ISO 8601.
      seconds: wall time of the run, summed over its starts.
      command: the command line that made it.
      commit: the commit of the code.
      scale: share of the full training budget; 1.0 is the table's protocol.
      changes: config arguments that depart from the table's protocol ("model=resnet20").
      status: "ok" or "failed"; a failed run has an `error`.
    """

    table: str
    row: str
    column: str
    seed: int
    final: float
    best: float
    metrics: dict[str, float] = dataclasses.field(default_factory=dict)
    curves: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    config: dict[str, Any] = dataclasses.field(default_factory=dict)
    config_hash: str = ""
    corruption: str = ""
    data: str = ""
    weight_profile: list[float] = dataclasses.field(default_factory=list)
    versions: dict[str, str] = dataclasses.field(default_factory=dict)
    device: str = ""
    date: str = ""
    seconds: float = 0.0
    command: str = ""
    commit: str = ""
    scale: float = 1.0
    changes: str = ""
    status: str = "ok"
    error: str | None = None

    @property
    def key(self) -> Key:
        """The cell and the seed, which identify a run."""
        return self.table, self.row, self.column, self.seed


def hash_config(config: Mapping[str, Any]) -> str:
    """Twelve hex digits of the SHA-256 of a config of plain values, in any order of its keys.

    >>> hash_config({"a": 1, "b": 2}) == hash_config({"b": 2, "a": 1})
    True
    """
    text = json.dumps(config, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def encode(result: Result) -> str:
    """One line of JSON; numbers that JSON lacks (NaN, infinities) become null, in a config text."""
    record = {"schema": SCHEMA, **dataclasses.asdict(result)}
    for name in ("final", "best", "metrics", "curves"):
        record[name] = _map_leaves(lambda x: x if math.isfinite(x) else None, record[name])
    record["config"] = _map_leaves(_finite_or_text, record["config"])
    return json.dumps(record, allow_nan=False, default=_plain)


def decode(line: bytes, where: str) -> Result:
    """The result in a line; `where` names it in errors.

    Raises:
      ValueError: it has another schema version, is not JSON, or has an invalid field.
    """
    try:
        record = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{where}: not a line of JSON ({error})") from error
    if not isinstance(record, dict) or "schema" not in record:
        raise ValueError(f"{where}: not a result of experiments.reproduce")
    schema = record.pop("schema")
    if schema != SCHEMA:
        raise ValueError(
            f"{where}: results of schema version {schema}, but this code reads version {SCHEMA}; "
            "read the file with the code that wrote it, or start a new one"
        )
    fields = {field.name for field in dataclasses.fields(Result)}
    if record.keys() | _LATER != fields:
        strange = sorted((record.keys() | _LATER) ^ fields)
        raise ValueError(f"{where}: fields missing or unknown: {', '.join(strange)}")
    for name in ("final", "best", "metrics", "curves"):
        record[name] = _map_leaves(lambda x: math.nan if x is None else x, record[name])
    result = Result(**record)
    validate(result, where)
    return result


def _finite_or_text(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


def _map_leaves(fn: typing.Callable[[Any], Any], value: Any) -> Any:
    """Applies `fn` to every leaf of a value, a list of values or a dict of either."""
    if isinstance(value, dict):
        return {name: _map_leaves(fn, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_leaves(fn, item) for item in value]
    return fn(_plain(value) if hasattr(value, "tolist") else value)


def _plain(value: Any) -> Any:
    """A numpy or JAX scalar or array as plain Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be written as JSON")


def validate(result: Result, where: str) -> None:
    """Raises ValueError if a field is of the wrong type or out of range."""
    for name, kind in typing.get_type_hints(Result).items():
        _check_type(getattr(result, name), kind, f"{where}: {name}")
    for name, value in result.metrics.items():
        _check_type(value, float, f"{where}: metrics[{name!r}]")
    for name, values in result.curves.items():
        for value in values:
            _check_type(value, float, f"{where}: curves[{name!r}]")
    for name in ("final", "best"):
        value = getattr(result, name)
        if result.status == "ok" and not 0 <= value <= 100:
            raise ValueError(f"{where}: {name} must be a percentage in [0, 100], got {value}")
    if result.status not in STATUSES:
        raise ValueError(
            f"{where}: status must be one of {', '.join(STATUSES)}, got {result.status!r}"
        )
    if (result.status == "failed") != (result.error is not None):
        raise ValueError(f"{where}: error must be given exactly if the status is 'failed'")
    if not result.scale > 0:
        raise ValueError(f"{where}: scale must be above 0, got {result.scale}")
    lengths = {name: len(curve) for name, curve in result.curves.items()}
    if lengths and set(lengths.values()) != {lengths.get("steps")}:
        raise ValueError(
            f"{where}: every curve must be as long as the curve 'steps', got {lengths}"
        )


def _check_type(value: Any, kind: Any, what: str) -> None:
    """Checks a type without its items; a number may be numpy's, but not a bool."""
    kind = typing.get_origin(kind) or kind
    if kind is float:
        right = hasattr(value, "__float__") and not isinstance(value, bool)
    elif kind is int:
        right = hasattr(value, "__index__") and not isinstance(value, bool)
    else:
        right = isinstance(value, str | None if kind is types.UnionType else kind)
    if not right:
        name = "str or None" if kind is types.UnionType else kind.__name__
        raise ValueError(f"{what} must be {name}, got {type(value).__name__} {value!r}")
