"""Makes the result of a cell from its run's summary: numbers, curves and provenance."""

import math
import shlex
import sys
from typing import Any

from dm_jax import train
from dm_jax.train import workdir
from experiments import commit
from experiments.tables import table_specs
from experiments.tables.cells import Cell
from experiments.tables.outcome import error_text
from experiments.tables.result import Result

# Decimals: fewer than float32 has, more than anyone reads.
_DIGITS = 6
# Curve -> the metric that it shows, and a factor on it.
_CURVES: dict[str, tuple[str, float]] = {
    "test_accuracy": ("test_accuracy", 100),
    "test_mAP": ("test_mAP", 100),
    "test_CMC-1": ("test_CMC-1", 100),
    "train_intact": ("train_accuracy", 100),
    "train_corrupted": ("train_accuracy_given", 100),
    "p_clean": ("train_p_clean", 1),
    "p_noisy": ("train_p_noisy", 1),
    "loss": ("train_loss", 1),
}
# Curves that exist only if it is known which labels are wrong.
_OF_TRUE_LABELS = ("train_intact", "p_clean", "p_noisy")


def result(cell: Cell, summary: train.Summary | Exception) -> Result:
    """The result of a cell, accuracies in percent; that of a failed one has the error.

    `final` and `best` are the test accuracy, or the table's measure if that is another.
    """
    if isinstance(summary, Exception):
        nan, error = float("nan"), error_text(summary)
        return Result(**_provenance(cell), final=nan, best=nan, status="failed", error=error)
    measure = table_specs.get(cell.table).measure
    metrics = {
        "train_corrupted": _percent(summary.final("fit_accuracy_given")),
        "train_intact": _percent(summary.final("fit_accuracy")),
        "validation": _percent(summary.final("validation_accuracy")),
        "actual_rate": _percent(summary.actual_rate),
        "CMC-1": _percent(summary.final("test_CMC-1")),
    }
    return Result(
        **_provenance(cell) | {"device": summary.device},
        final=_percent(summary.final(measure)),
        best=_percent(summary.best(measure)),
        metrics={name: value for name, value in metrics.items() if not math.isnan(value)},
        curves=_curves(summary, measure),
        corruption=summary.corruption,
        data=summary.data,
        weight_profile=summary.weight_profile,
        seconds=round(summary.seconds, 3),
    )


def _percent(fraction: float) -> float:
    return round(100 * fraction, _DIGITS)


def _curves(summary: train.Summary, measure: str) -> dict[str, list[float]]:
    """The curves at every evaluation: test metrics, and training metrics since the last log."""
    left_out = _OF_TRUE_LABELS if math.isnan(summary.actual_rate) else ()
    points = {
        name: dict(summary.curve(source))
        for name, (source, _) in _CURVES.items()
        if name not in left_out
    }
    steps = [step for step, _ in summary.curve(measure)]
    curves = {
        name: [round(_CURVES[name][1] * values[step], _DIGITS) for step in steps]
        for name, values in points.items()
        if all(step in values for step in steps)
    }
    return {"steps": [float(step) for step in steps], **curves} if steps else {}


def _provenance(cell: Cell) -> dict[str, Any]:
    """The fields of a result that say what ran, where and how."""
    environment = workdir.environment(cell.config.parallel)
    return {
        "table": cell.table,
        "row": cell.row,
        "column": cell.column,
        "seed": cell.seed,
        "config": cell.recorded_config,
        "config_hash": cell.config_hash,
        "versions": environment["versions"],
        "device": environment["device"],
        "date": environment["date"],
        "command": shlex.join(["python", "-m", "experiments.reproduce", *sys.argv[1:]]),
        "commit": commit.of_code(),
        "scale": cell.scale,
        "changes": cell.changes,
    }
