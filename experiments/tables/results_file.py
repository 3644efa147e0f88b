"""results.jsonl: a JSON object per line, a line per cell and seed, appended as the cells finish.

A line is written under a lock in one write and synced, so that processes may share the file and
be killed at any moment: at worst the last line is torn. Reading skips a torn line with a warning;
appending the next result cuts it off. No other line is ever changed.
"""

import fcntl
import json
import os
import pathlib
import typing
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

from dm_jax.train.differences import differences
from experiments.tables.result import Key, Result, decode, encode, hash_config, validate


def append(path: str | os.PathLike[str], result: Result) -> None:
    """Appends one result to the file, creating it and its folder if needed.

    Raises:
      ValueError: a field is of the wrong type or out of range; the file is unchanged.
      OSError: the line could not be written; the file is as before.
    """
    validate(result, "result")
    line = (encode(result) + "\n").encode()
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
    """All results of a file, in the order appended; a torn last line is skipped.

    Raises:
      FileNotFoundError: there is no such file.
      ValueError: a line has another schema version, is not JSON, or has an invalid field; the
        message names the file and the line.
    """
    lines = pathlib.Path(path).read_bytes().split(b"\n")
    tail = lines.pop()
    if tail and _is_whole(tail):
        lines.append(tail)
    elif tail:
        text = f"{path}:{len(lines) + 1}: torn last line left out ({len(tail)} bytes)"
        warnings.warn(text, stacklevel=1)  # shown once, however often and from where it is read
    return [decode(line, f"{path}:{number}") for number, line in enumerate(lines, 1) if line]


def read_if_there(path: pathlib.Path) -> list[Result]:
    """As `read`; none if there is no such file."""
    return read(path) if path.exists() else []


def completed(
    results: Iterable[Result], wanted: Mapping[Key, Mapping[str, Any]]
) -> dict[Key, Result]:
    """The results of the wanted cells that are done; of several runs of a cell, the last.

    Args:
      results: all results of a file.
      wanted: config of each cell that the caller would run.

    Raises:
      ValueError: a wanted cell was run with another config; the message names the keys.
    """
    done = {result.key: result for result in results if result.status == "ok"}
    done = {key: result for key, result in done.items() if key in wanted}
    for key, result in done.items():
        if result.config_hash == hash_config(wanted[key]):
            continue
        if changed := differences(result.config, dict(wanted[key])):  # none for 1 and 1.0
            table, row, column, seed = key
            raise ValueError(
                f"the results hold table {table}, row {row!r}, column {column!r}, seed {seed} of "
                f"{result.date} with another config (theirs -> this run's: {'; '.join(changed)}); "
                "use another results file for this run"
            )
    return done


def _mend_tail(file: typing.BinaryIO) -> int:
    """Adds the newline if the last line lacks only that, else cuts it off; returns the size."""
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
    """Whether a line without its newline is complete: a truncated JSON object does not parse."""
    try:
        return isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
