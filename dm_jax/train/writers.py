"""Where a run's numbers go: metrics.jsonl and TensorBoard events."""

import json
import math
import os
import pathlib
from collections.abc import Iterator, Mapping


class MetricsFile:
    """metrics.jsonl: one line a log point, appended whole as soon as it is known."""

    def __init__(self, path: pathlib.Path, *, resume_step: int = 0):
        """Opens the file; lines beyond `resume_step`, which will come again, are dropped."""
        kept = [row for row in read_metrics(path) if row["step"] <= resume_step]
        partial = path.with_name(path.name + ".partial")
        partial.write_text("".join(_line(row) for row in kept))
        os.replace(partial, path)
        self._file = path.open("a", encoding="utf-8")

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Appends {"step": step, name: value ...}; a NaN (nothing was counted) is null."""
        self._file.write(_line({"step": step, **values}))
        self._file.flush()

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
