"""results.jsonl: one JSON object a line, one line a cell and seed, appended as the cells finish.

A line is written under a lock by one write and synced, so that processes may share the file and
a run may die at any moment: at worst the last line is torn, and a torn line is left out with a
warning when the file is read and cut off when the next result is appended. No other line is ever
touched.
"""

import dataclasses
import fcntl
import hashlib
import json
import math
import os
import pathlib
import types
import typing
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from dm_jax.train.workdir import differences

SCHEMA = 1
STATUSES = ("ok", "failed")
# Fields that lines of this schema had not from the beginning; where they are missing, the default.
_LATER = {"data"}
Key = tuple[str, str, str, int]  # table, row, column, seed


@dataclasses.dataclass(frozen=True, kw_only=True)
class Result:
    """What one training run of a table's cell gave, and everything needed to run it again.

    Attributes:
      table, row, column: the cell; a published table's names are those of `experiments.paper`.
      seed: seed of the run.
      final, best: test accuracy at the end and the best seen, in percent; NaN in a failed run.
      metrics: further numbers by name, accuracies in percent (`train_corrupted`, `train_intact`).
      curves: series by name, all as long as `steps`, which is there if any is; accuracies
        in percent, mean probabilities (`p_clean`, `p_noisy`) in [0, 1].
      config: the run's whole config, plain values.
      config_hash: what tells one config from another (see `hash_config`).
      corruption: hash of the training labels' corruption.
      data: fingerprint of the data set; "" of a streamed one, or before it was recorded.
      versions: package versions by name.
      device: the device, in words.
      date: ISO 8601.
      seconds: wall time of the run, of all its starts.
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
        """The cell and the seed: what a results file holds once."""
        return self.table, self.row, self.column, self.seed


def hash_config(config: Mapping[str, Any]) -> str:
    """Twelve hex digits of the SHA-256 of a config of plain values, whatever the order of its keys.

    >>> hash_config({"a": 1, "b": 2}) == hash_config({"b": 2, "a": 1})
    True
    """
    text = json.dumps(config, sort_keys=True, default=_plain)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def append(path: str | os.PathLike[str], result: Result) -> None:
    """Appends one result to the file, making it and its folder where they are not.

    Raises:
      ValueError: a field is of the wrong type or out of range; the file is then left as it is.
      OSError: the line could not be written; the file is then as it was before.
    """
    _validate(result, "result")
    line = (_encode(result) + "\n").encode()
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        end = _mend_tail(file)
        try:
            file.write(line)
            file.flush()
            os.fsync(file.fileno())
        except OSError:
            os.ftruncate(file.fileno(), end)
            raise


def read(path: str | os.PathLike[str]) -> list[Result]:
    """All results of a file, in the order they were appended; a torn last line is left out.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line is of another schema version, is not JSON, or a field of it is wrong;
        the message names the file and the line.
    """
    lines = pathlib.Path(path).read_bytes().split(b"\n")
    tail = lines.pop()
    if tail and _is_whole(tail):
        lines.append(tail)
    elif tail:
        warnings.warn(
            f"{path}:{len(lines) + 1}: torn last line left out ({len(tail)} bytes)", stacklevel=2
        )
    return [_decode(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line]


def completed(
    results: Iterable[Result], wanted: Mapping[Key, Mapping[str, Any]]
) -> dict[Key, Result]:
    """Those of the wanted cells that are done; of several runs of a cell, the last.

    Args:
      results: what a results file holds.
      wanted: config of each cell that the caller would run.

    Raises:
      ValueError: a wanted cell was finished under another config; names the keys.
    """
    done = {result.key: result for result in results if result.status == "ok"}
    done = {key: result for key, result in done.items() if key in wanted}
    for key, result in done.items():
        if result.config_hash != hash_config(wanted[key]):
            table, row, column, seed = key
            changed = "; ".join(differences(result.config, dict(wanted[key])))
            raise ValueError(
                f"the results hold table {table}, row {row!r}, column {column!r}, seed {seed} of "
                f"{result.date} under another config; theirs -> this run's: {changed}. Give this "
                "run another results file"
            )
    return done


def _mend_tail(file: typing.BinaryIO) -> int:
    """Ends the last line with a newline if only that is missing, else cuts a torn one; the size."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - 1, 0))
    if file.read() in (b"", b"\n"):
        return size
    file.seek(0)
    content = file.read()
    start = content.rfind(b"\n") + 1
    if _is_whole(content[start:]):
        file.write(b"\n")
        file.flush()
        return size + 1
    os.ftruncate(file.fileno(), start)
    return start


def _is_whole(line: bytes) -> bool:
    """Whether a line without its newline is all there: a JSON object ends where it is complete."""
    try:
        return isinstance(json.loads(line), dict)
    except ValueError:
        return False


def _encode(result: Result) -> str:
    """One line of JSON; numbers that JSON lacks (NaN, infinities) become null."""
    record = {"schema": SCHEMA, **dataclasses.asdict(result)}
    for name in ("final", "best", "metrics", "curves"):
        record[name] = _map_floats(lambda x: x if math.isfinite(x) else None, record[name])
    return json.dumps(record, allow_nan=False, default=_plain)


def _decode(line: bytes, where: str) -> Result:
    try:
        record = json.loads(line)
    except ValueError as error:
        raise ValueError(f"{where}: not a line of JSON ({error})") from error
    schema = record.pop("schema", None) if isinstance(record, dict) else None
    if schema != SCHEMA:
        raise ValueError(
            f"{where}: results of schema version {schema}, but this code reads version {SCHEMA}; "
            "read the file with the code that wrote it, or start a new one"
        )
    fields = {field.name for field in dataclasses.fields(Result)}
    if record.keys() | _LATER != fields:
        strange = sorted((record.keys() | _LATER) ^ fields)
        raise ValueError(f"{where}: fields missing or not known: {', '.join(strange)}")
    for name in ("final", "best", "metrics", "curves"):
        record[name] = _map_floats(lambda x: math.nan if x is None else x, record[name])
    result = Result(**record)
    _validate(result, where)
    return result


def _map_floats(fn: typing.Callable[[Any], Any], value: Any) -> Any:
    """`fn` of every number (or null) of a number, a list of them or a dict of either."""
    if isinstance(value, dict):
        return {name: _map_floats(fn, item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_floats(fn, item) for item in value]
    return fn(_plain(value) if hasattr(value, "tolist") else value)


def _plain(value: Any) -> Any:
    """A numpy or JAX scalar or array as plain Python."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} {value!r} cannot be written as JSON")


def _validate(result: Result, where: str) -> None:
    for name, kind in typing.get_type_hints(Result).items():
        _check_type(getattr(result, name), kind, f"{where}: {name}")
    for name, value in result.metrics.items():
        _check_type(value, float, f"{where}: metrics[{name!r}]")
    for name in ("final", "best"):
        value = getattr(result, name)
        if result.status == "ok" and not 0 <= value <= 100:
            raise ValueError(f"{where}: {name} is a percentage in [0, 100], got {value}")
    if result.status not in STATUSES:
        raise ValueError(f"{where}: status is one of {', '.join(STATUSES)}, got {result.status!r}")
    if (result.status == "failed") != (result.error is not None):
        raise ValueError(f"{where}: error is given exactly where the status is 'failed'")
    if not result.scale > 0:
        raise ValueError(f"{where}: scale is above 0, got {result.scale}")
    lengths = {name: len(curve) for name, curve in result.curves.items()}
    if lengths and set(lengths.values()) != {lengths.get("steps")}:
        raise ValueError(f"{where}: every curve is as long as the curve 'steps', got {lengths}")


def _check_type(value: Any, kind: Any, what: str) -> None:
    """A shallow check: a dict is a dict and a number a number (numpy's too, but no bool)."""
    kind = typing.get_origin(kind) or kind
    if kind is float:
        right = hasattr(value, "__float__") and not isinstance(value, bool)
    elif kind is int:
        right = hasattr(value, "__index__") and not isinstance(value, bool)
    else:
        right = isinstance(value, str | None if kind is types.UnionType else kind)
    if not right:
        name = "str or None" if kind is types.UnionType else kind.__name__
        raise ValueError(f"{what} is {name}, got {type(value).__name__} {value!r}")
