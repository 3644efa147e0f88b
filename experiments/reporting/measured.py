"""Groups results into the cells of tables, with mean and deviation over seeds."""

import dataclasses
import math
import statistics
from collections.abc import Iterable
from typing import Any

from configs import overrides
from dm_jax.train import weight_profile
from experiments import text
from experiments.paper import Pair
from experiments.tables.result import Result


@dataclasses.dataclass(frozen=True)
class Measured:
    """A number over seeds.

    Attributes:
      mean: mean over the seeds.
      deviation: sample standard deviation; None for a single seed.
    """

    mean: float
    deviation: float | None

    @classmethod
    def of(cls, values: list[float]) -> "Measured | None":
        """Measures these values; None if there are none or one is not finite."""
        if not values or not all(map(math.isfinite, values)):
            return None
        deviation = statistics.stdev(values) if len(values) > 1 else None
        return cls(statistics.fmean(values), deviation)

    def __str__(self) -> str:
        """The mean with its deviation, if it has one.

        >>> str(Measured(88.94, 0.06)), str(Measured(88.94, None))
        ('88.9 ± 0.1', '88.9')
        """
        return text.with_deviation(self.mean, self.deviation)


@dataclasses.dataclass(frozen=True)
class Curve:
    """A series over steps, mean and deviation over seeds (0 for a single one)."""

    steps: list[float]
    mean: list[float]
    deviation: list[float]


@dataclasses.dataclass(frozen=True)
class MeasuredCell:
    """All runs of one cell of a table.

    Seeds are never averaged over different budgets, protocols, parameters, schemes or data: `runs`
    are those nearest to the table's own protocol (`_rank`), of several equally near the latest.

    Attributes:
      row, column: the cell.
      runs: the finished runs by seed, the last of each seed.
      failed: the failed runs of the same config, for seeds without a finished run.
      left_out: finished runs that are not in `runs`: smaller, changed, or run again later.
    """

    row: str
    column: str
    runs: tuple[Result, ...]
    failed: tuple[Result, ...]
    left_out: int

    @classmethod
    def of(cls, results: list[Result]) -> "MeasuredCell":
        """The cell of these results, of which there is at least one."""
        results = sorted(results, key=lambda result: result.date)
        finished = [result for result in results if result.status == "ok"]
        # Ties go to the latest.
        chosen = max(reversed(finished), key=_rank, default=None)
        by_seed = {r.seed: r for r in finished if chosen and _are_alike(r, chosen)}
        failed = {
            result.seed: result
            for result in results
            if result.status == "failed" and (not chosen or _settings(result) == _settings(chosen))
        }
        return cls(
            row=results[0].row,
            column=results[0].column,
            runs=tuple(by_seed[seed] for seed in sorted(by_seed)),
            failed=tuple(failed[seed] for seed in sorted(failed.keys() - by_seed.keys())),
            left_out=len(finished) - len(by_seed),
        )

    @property
    def budget(self) -> tuple[float, str]:
        """The scale of the runs (if none finished, of the failed ones), and their changes."""
        nearest = max(self.runs or self.failed, key=_rank)
        changes = overrides.format_changes(overrides.parse(nearest.changes))  # in a fixed order
        return nearest.scale, changes

    @property
    def mark(self) -> str:
        """How it departs from the table's protocol, in words; empty if it does not."""
        return mark(*self.budget)

    def measured(self, measure: str) -> Measured | None:
        """`final`, `best` or a metric over the seeds; None if a run lacks it."""
        if measure in ("final", "best"):
            return Measured.of([getattr(result, measure) for result in self.runs])
        return Measured.of([result.metrics.get(measure, math.nan) for result in self.runs])

    def curve(self, name: str) -> Curve | None:
        """A curve at the steps that all seeds share; None if a run lacks it."""
        series = [
            dict(zip(result.curves["steps"], result.curves[name], strict=True))
            for result in self.runs
            if name in result.curves
        ]
        if not series or len(series) < len(self.runs):
            return None
        steps = [step for step in series[0] if all(step in values for values in series)]
        points = [Measured.of([values[step] for values in series]) for step in steps]
        known = [(step, point) for step, point in zip(steps, points, strict=True) if point]
        return Curve(
            steps=[step for step, _ in known],
            mean=[point.mean for _, point in known],
            deviation=[point.deviation or 0.0 for _, point in known],
        )


Cells = dict[Pair, MeasuredCell]


def group(results: Iterable[Result]) -> dict[str, Cells]:
    """The cells of each table, in order of first appearance."""
    tables: dict[str, dict[Pair, list[Result]]] = {}
    for result in results:
        cells = tables.setdefault(result.table, {})
        cells.setdefault((result.row, result.column), []).append(result)
    return {
        table: {key: MeasuredCell.of(found) for key, found in cells.items()}
        for table, cells in tables.items()
    }


def mark(scale: float, changes: str) -> str:
    """How a budget departs from the table's protocol, in words; empty if it does not.

    >>> mark(0.05, "model=resnet20,train.batch_size=64"), mark(1.0, "")
    ('scale 0.05, model=resnet20, train.batch_size=64', '')
    """
    budget = "" if scale == 1 else f"scale {scale:g}"
    return ", ".join(part for part in (budget, changes.replace(",", ", ")) if part)


def comparable(cells: Iterable[MeasuredCell]) -> list[MeasuredCell]:
    """The finished cells that compete: those with the budget nearest to the protocol."""
    finished = [cell for cell in cells if cell.runs]
    first = max(finished, key=lambda cell: _rank(cell.runs[0]), default=None)
    return [cell for cell in finished if first and cell.budget == first.budget]


def _rank(result: Result) -> tuple[bool, bool, float]:
    """Highest for the table's own protocol, then for changes of length alone, then by length."""
    own = not result.changes
    return own and result.scale == 1, own, result.scale


def _are_alike(one: Result, other: Result) -> bool:
    """Whether two runs may be averaged: the same settings, data and code of a custom scheme."""
    return (
        _settings(one) == _settings(other)
        and one.data == other.data
        and len(one.weight_profile) == len(other.weight_profile)
        and weight_profile.same(one.weight_profile, other.weight_profile)
    )


def _settings(result: Result) -> tuple[float, dict[str, Any]]:
    """The scale, and the config without its seeds; 1 and 1.0 are equal."""
    config = {name: value for name, value in result.config.items() if name != "seed"}
    if isinstance(config.get("noise"), dict):
        config["noise"] = {k: v for k, v in config["noise"].items() if k != "seed"}
    return result.scale, config
