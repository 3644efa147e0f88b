"""A table next to the paper's: what Markdown and HTML print, and how much of it was run."""

import dataclasses
import re
from collections.abc import Iterable

from experiments import paper
from experiments.paper import Pair
from experiments.reporting.measured import Cells, Measured, MeasuredCell
from experiments.tables.spec import TableSpec
from experiments.tables.tuning_file import ParameterSearch
from experiments.text import count, seeds_range


@dataclasses.dataclass(frozen=True)
class Entry:
    """One printed cell.

    Attributes:
      cell: the runs behind it, if any.
      measured: the number of the column; None if there is none.
      best: the best accuracy seen, if the column shows the final one.
      paper: the published number, in percent.
      paper_deviation: its published deviation.
      note: what to print instead of a number: "not run", "failed", "not recorded" or,
        if there is nothing to run, "".
      top, best_top: whether `measured` and `best` are the highest of those they compare with.
    """

    cell: MeasuredCell | None
    measured: Measured | None
    best: Measured | None
    paper: float | None
    paper_deviation: float | None
    note: str
    top: bool = False
    best_top: bool = False

    @property
    def difference(self) -> float | None:
        """Measured minus published, in percentage points."""
        if self.measured is None or self.paper is None:
            return None
        return self.measured.mean - self.paper

    @property
    def seeds(self) -> str:
        """How many seeds were averaged and how many failed, in words."""
        if self.cell is None:
            return ""
        parts = [count(len(self.cell.runs), "seed")] if self.cell.runs else []
        if self.cell.failed:
            parts.append(f"{len(self.cell.failed)} failed")
        return ", ".join(parts)

    @property
    def mark(self) -> str:
        """How it departs from the table's protocol, in words."""
        return self.cell.mark if self.cell else ""


@dataclasses.dataclass(frozen=True)
class Section:
    """A grid of entries: a whole table, or the part that shows one run."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    entries: dict[Pair, Entry]


@dataclasses.dataclass(frozen=True)
class Table:
    """One table of the report.

    Attributes:
      name: as in the results.
      spec: its specification; an empty one for a table that this code does not know.
      published: the paper's, if it has one.
      wanted: the (row, run) cells to run, as far as known.
      cells: what was run.
      sections: what to print.
      searches: the searches behind its parameters.
    """

    name: str
    spec: TableSpec
    published: paper.PublishedTable | None
    wanted: tuple[Pair, ...]
    cells: Cells
    sections: tuple[Section, ...]
    searches: tuple[ParameterSearch, ...] = ()

    @property
    def title(self) -> str:
        """What it shows."""
        return (self.published or self.spec).title or self.name

    @property
    def heading(self) -> str:
        """The printed name: "Table 5" for a table of the paper, else its own."""
        return f"Table {self.name}" if self.published else self.name

    @property
    def head(self) -> str:
        """What its rows are."""
        return self.published.head if self.published else "method"

    def source(self, row: str) -> str:
        """The paper that a row's published numbers are quoted from, with article; "" if none."""
        if self.published is None or row not in self.published.quoted:
            return ""
        source = self.published.sources[row]
        return "its own paper" if source == "own paper" else f"the {source}"

    @property
    def conditions(self) -> tuple[str, ...]:
        """The conditions under which methods are compared, in the order printed."""
        if self.spec.methods_are_columns:
            return self.sections[0].rows
        titles = tuple(section.title for section in self.sections)
        return titles if all(titles) else self.sections[0].columns

    def method(self, cell: MeasuredCell) -> str:
        """The method that a cell shows."""
        return cell.column if self.spec.methods_are_columns else cell.row

    def cells_of(self, condition: str) -> list[MeasuredCell]:
        """The cells that were run under a condition."""
        by_row = self.spec.methods_are_columns
        return [c for c in self.cells.values() if condition == (c.row if by_row else c.column)]

    @property
    def missing(self) -> list[Pair]:
        """The wanted cells that have no finished run."""
        return [key for key in self.wanted if key not in self.cells or not self.cells[key].runs]

    @property
    def remarks(self) -> dict[str, str]:
        """What the reader has to know besides the numbers: label -> text without its period."""
        ours = self.spec.our_choices.rstrip(".")
        remarks = {
            "Not run": self.not_run,
            "Failed, wholly or in part": listing(self.failures, ()),
            "Our choices, where the paper leaves them open": ours,
        }
        return {label: text for label, text in remarks.items() if text}

    @property
    def not_run(self) -> str:
        """The wanted cells that were not even tried, in words; "" if there are none."""
        return listing((key for key in self.wanted if key not in self.cells), self.wanted)

    @property
    def failures(self) -> list[Pair]:
        """The cells in which a seed failed and did not finish later."""
        return [key for key, cell in self.cells.items() if cell.failed]

    @property
    def status(self) -> str:
        """How much of it was run, in words."""
        done = [cell for cell in self.cells.values() if cell.runs]
        if not done:
            if self.cells:
                return "no cell finished"
            return "not run" + (": data not at hand" if self.spec.needs_agreement else "")
        parts = [self._extent(done), seeds_range([len(cell.runs) for cell in done])]
        marks = sorted({cell.mark for cell in done if cell.mark})
        if marks:
            share = "" if len(marks) == 1 and all(cell.mark for cell in done) else " in part"
            shorter = any(cell.budget[0] < 1 for cell in done)
            what = "scaled down" if shorter else "with changes"
            parts.append(f"{what}{share} ({'; '.join(marks)})")
        if self.failures:
            parts.append(f"failures in {count(len(self.failures), 'cell')}")
        return ", ".join(parts)

    def _extent(self, done: list[MeasuredCell]) -> str:
        if not self.wanted:
            return count(len(done), "cell")
        found = len(self.wanted) - len(self.missing)
        more = f" and {len(done) - found} more" if len(done) > found else ""
        cells = f"{found} of {count(len(self.wanted), 'cell')}{more}"
        if self.missing:
            return f"in part: {cells}"
        return cells if any(cell.mark for cell in done) else f"in full: {cells}"


def rate_of(run: str) -> float | None:
    """The noise rate at the end of a run's name; "clean" is 0.

    >>> rate_of("sym_0.4"), rate_of("clean"), rate_of("MARS")
    (0.4, 0.0, None)
    """
    found = re.search(r"(?:^|_)(\d+(?:\.\d+)?)$", run)
    if run == "clean":
        return 0.0
    return float(found[1]) if found else None


def listing(keys: Iterable[Pair], every: Iterable[Pair]) -> str:
    """Cells in words, by row; complete rows come first.

    >>> every = [(row, column) for row in ("CCE", "MAE", "DM") for column in ("clean", "sym_0.2")]
    >>> listing([("CCE", "clean"), ("MAE", "clean"), ("MAE", "sym_0.2")], every)
    'MAE in every column; CCE at clean'
    """
    meant, known = _by_row(keys), _by_row(every)
    whole = [row for row, columns in meant.items() if set(columns) == set(known.get(row, ()))]
    parts = [f"{', '.join(whole)} in every column"] if whole else []
    parts += [f"{row} at {', '.join(meant[row])}" for row in meant if row not in whole]
    return "; ".join(parts)


def _by_row(keys: Iterable[Pair]) -> dict[str, list[str]]:
    rows: dict[str, list[str]] = {}
    for row, column in keys:
        rows.setdefault(row, []).append(column)
    return rows
