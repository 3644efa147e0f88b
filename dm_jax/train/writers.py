"""Where a run's numbers go: metrics.jsonl and TensorBoard events."""

import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Protocol


class Writer(Protocol):
    """Where numbers go."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds values measured after `step` steps."""

    def close(self) -> None:
        """Nothing follows."""


class Nowhere:
    """What the hosts other than the first write to."""

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Drops them."""

    def close(self) -> None:
        """Does nothing."""


class MetricsFile:
    """metrics.jsonl: one line a log point, appended whole as soon as it is known."""

    def __init__(self, path: pathlib.Path, *, resume_step: int = 0):
        """Opens the file; lines beyond `resume_step`, which will come again, are dropped."""
        kept = [row for row in read_metrics(path) if row["step"] <= resume_step]
        partial = path.with_name(path.name + ".partial")
        partial.write_text("".join(_line(row) for row in kept))
        os.replace(partial, path)
        # Without a buffer: a line that could not be written is not tried again when closing.
        self._file = path.open("ab", buffering=0)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends {"step": step, name: value ...}; a NaN (nothing was counted) is null.

        Raises:
          OSError: the line could not be written, or not all of it; it is then not read either.
        """
        line = _line({"step": step, **values}).encode()
        try:
            written = self._file.write(line)
        except OSError as error:
            raise OSError(f"{self._file.name} cannot be written: {error}") from error
        if written != len(line):
            raise OSError(f"{self._file.name} cannot be written: {written} of {len(line)} bytes")

    def close(self) -> None:
        """Closes the file."""
        self._file.close()


def _line(row: Mapping[str, float | None]) -> str:
    plain = {k: None if v is None or not math.isfinite(v) else v for k, v in row.items()}
    return json.dumps(plain) + "\n"


def read_metrics(path: pathlib.Path) -> Iterator[dict[str, float]]:
    """The rows of a metrics.jsonl; a torn last line, of a killed run, is left out."""
    if not path.exists():
        return
    for line in path.read_text(encoding="utf-8").splitlines(keepends=True):
        if line.endswith("\n"):
            yield json.loads(line)


class TensorBoard:
    """TensorBoard events under `directory`."""

    def __init__(self, directory: pathlib.Path, *, resume_step: int = 0):
        import tensorboardX

        # Events after the resumed step are hidden: they come again.
        purge = resume_step + 1 if resume_step else None
        self._writer = tensorboardX.SummaryWriter(str(directory), purge_step=purge)

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Adds scalars."""
        for name, value in values.items():
            if math.isfinite(value):
                self._writer.add_scalar(name, value, step)

    def close(self) -> None:
        """Flushes and closes the events."""
        self._writer.close()
