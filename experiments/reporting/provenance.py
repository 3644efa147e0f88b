"""The provenance of each number: a line per cell, and the settings that many cells share."""

import dataclasses
from collections.abc import Iterable
from typing import NamedTuple

from experiments.reporting.comparison import Table
from experiments.reporting.measured import MeasuredCell
from experiments.tables.result import Result
from experiments.text import count, duration, fingerprint, loss


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the runs of one command share: listed once, referred to by its number."""

    device: str
    versions: str
    commit: str
    command: str

    @property
    def conditions(self) -> str:
        """The devices, versions and commit, in words."""
        commit = self.commit.removesuffix("+")
        changed = " with uncommitted changes" if commit != self.commit else ""
        return f"{self.device}; {self.versions}; commit {commit}{changed}"

    @classmethod
    def of(cls, result: Result) -> "Setting":
        versions = ", ".join(f"{name} {value}" for name, value in sorted(result.versions.items()))
        return cls(result.device, versions, result.commit, result.command)


class ProvenanceRow(NamedTuple):
    """One cell's provenance; `settings` are numbers from 1."""

    cell: str
    scheme: str
    seeds: str
    mark: str
    config: str
    data: str
    corruption: str
    date: str
    seconds: str
    settings: str
    remarks: str


HEADINGS = (
    "cell", "scheme", "seeds", "budget", "config", "data", "label corruption", "finished",
    "time a seed", "setting", "remarks",
)  # fmt: skip


def settings_of(table: Table) -> list[Setting]:
    """The distinct settings of a table's runs, in order of appearance."""
    return list(dict.fromkeys(Setting.of(run) for run in _runs(table)))


def lines(table: Table) -> list[ProvenanceRow]:
    """A line for each cell that was run."""
    numbers = {setting: number for number, setting in enumerate(settings_of(table), 1)}
    return [_line(cell, numbers) for cell in table.cells.values()]


def _runs(table: Table) -> Iterable[Result]:
    return (run for cell in table.cells.values() for run in (*cell.runs, *cell.failed))


def _line(cell: MeasuredCell, numbers: dict[Setting, int]) -> ProvenanceRow:
    runs = cell.runs or cell.failed
    return ProvenanceRow(
        cell=f"{cell.row} at {cell.column}",
        scheme=_joined(loss(run.config.get("loss", {})) for run in runs),
        seeds=_joined(run.seed for run in cell.runs),
        mark=cell.mark or "full",
        config=_joined(run.config_hash for run in runs),
        data=_joined(fingerprint(run.data) for run in runs),
        corruption=_joined(run.corruption[:12] for run in runs),
        date=_joined(sorted({run.date[:10] for run in runs})),
        seconds=duration(sum(run.seconds for run in runs) / len(runs)),
        settings=_joined(sorted({numbers[Setting.of(run)] for run in runs})),
        remarks=_remarks(cell),
    )


def _joined(values: Iterable[object]) -> str:
    return ", ".join(str(value) for value in dict.fromkeys(values)) or "none"


def _remarks(cell: MeasuredCell) -> str:
    remarks = [f"seed {run.seed} failed: {run.error}" for run in cell.failed]
    if cell.left_out:
        runs = count(cell.left_out, "other run")
        remarks.append(f"{runs} left out: earlier, smaller or changed")
    return "; ".join(remarks)
