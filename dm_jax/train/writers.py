"""Writers of a run's metrics: metrics.jsonl and TensorBoard events."""

import contextlib
import json
import logging
import math
import os
import pathlib
import time
from collections.abc import Iterator, Mapping
from typing import Any

from dm_jax import files

log = logging.getLogger(__name__)


class NullWriter:
    """The writer of all hosts but the first, which writes nothing."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Discards the values."""

    def sync(self) -> None:
        """Does nothing."""

    def close(self) -> None:
        """Does nothing."""


class MetricsFile:
    """metrics.jsonl: one line per log point, appended at once."""

    def __init__(self, path: pathlib.Path, *, resume_step: int = 0, log_every: int = 1):
        """Opens the file; lines beyond `resume_step`, which will be rewritten, are dropped."""
        kept = [row for row in read_metrics(path) if row["step"] <= resume_step]
        if resume_step >= log_every and not kept:
            log.warning("%s has no line up to step %d: curves begin there", path, resume_step)
        files.write_text(path, "".join(_line(row) for row in kept))
        # Unbuffered, so that closing does not retry a line that could not be written.
        self._file = path.open("ab", buffering=0)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends {"step": step, name: value ...}; a NaN (nothing was counted) is null.

        Raises:
          OSError: the line could not be written in full; `read_metrics` then ignores it.
        """
        line = _line({"step": step, **values}).encode()
        try:
            written = self._file.write(line)
        except OSError as error:
            raise OSError(f"{self._file.name} cannot be written: {error}") from error
        if written != len(line):
            raise OSError(f"{self._file.name} cannot be written: {written} of {len(line)} bytes")

    def sync(self) -> None:
        """Waits until all lines are on disk."""
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _line(row: Mapping[str, float | None]) -> str:
    plain = {k: None if v is None or not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(plain) + "\n"


def read_metrics(path: pathlib.Path) -> Iterator[dict[str, float]]:
    """The rows of a metrics.jsonl; a torn last line (of a killed run) is left out.

    Raises:
      ValueError: a line is damaged; names it.
    """
    if not path.exists():
        return
    *lines, _torn = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
            row["step"] + 0
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path}: line {number} is damaged ({error!r})") from error
        yield row


class TensorBoard:
    """TensorBoard events under `directory`, each on disk when `write` returns.

    tensorboardX's SummaryWriter is not used: it passes events to a thread, and once that has met a
    full disk, the next write waits for it forever.
    """

    def __init__(self, directory: pathlib.Path, *, resume_step: int = 0):
        """Opens a new file; events beyond `resume_step`, which will be rewritten, are hidden."""
        from tensorboardX.event_file_writer import EventsWriter

        directory.mkdir(parents=True, exist_ok=True)
        self._directory = directory
        hides = any(directory.iterdir())
        # The writer's own names, by the second, would let two starts within one share a file.
        self._writer = EventsWriter(str(directory / "events"), f".{time.time_ns()}.{os.getpid()}")
        if hides:
            self._add(resume_step + 1, session_log={"status": "START"})

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds scalars.

        Raises:
          OSError: they could not be written.
        """
        scalars = [
            {"tag": name, "simple_value": float(value)}
            for name, value in values.items()
            if math.isfinite(value)
        ]
        self._add(step, summary={"value": scalars})

    def close(self) -> None:
        """Closes the file.

        Raises:
          OSError: what is left could not be written.
        """
        with self._named():
            self._writer.close()

    def _add(self, step: int, **content: Any) -> None:
        from tensorboardX.proto.event_pb2 import Event

        with self._named():
            self._writer.write_event(Event(step=step, wall_time=time.time(), **content))
            self._writer.flush()

    @contextlib.contextmanager
    def _named(self) -> Iterator[None]:
        """Names the folder in errors."""
        try:
            yield
        except OSError as error:
            raise OSError(f"{self._directory} cannot be written: {error}") from error
