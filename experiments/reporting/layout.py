"""Lays a table out: which rows and columns, what each cell prints, what is bold."""

import dataclasses
import itertools
from collections.abc import Iterable

from experiments import paper
from experiments.paper import Pair
from experiments.reporting.comparison import Entry, Section, Table, rate_of
from experiments.reporting.measured import Cells, MeasuredCell, comparable
from experiments.tables import table_specs
from experiments.tables.spec import TableSpec
from experiments.tables.tuning_file import ParameterSearch

NOT_RANKED = ("train_corrupted",)  # more is not better: it fits wrong labels


def build(name: str, cells: Cells, searches: Iterable[ParameterSearch] = ()) -> Table:
    """The table of that name, with its measured cells and its own searches among those given."""
    published = paper.table(name) if name in paper.names() else None
    known = name in table_specs.names()
    spec = table_specs.get(name) if known else TableSpec(name, "", {}, {})
    wanted = _wanted(spec, published)
    rows = _in_order(
        published.rows if published else (row for row, _ in wanted), (r for r, _ in cells)
    )
    runs = _in_order(
        published.runs if published else (run for _, run in wanted), _sorted_runs(cells)
    )
    pairs = list(itertools.product(rows, runs))
    cells = {pair: cells[pair] for pair in pairs if pair in cells}  # results come in any order
    own = (search for search in searches if search.table == name)
    if published and len(published.runs) < len(published.columns):
        sections = [_section_of_run(published, run, rows, cells) for run in published.runs]
        sections += [_section_of_other_run(run, cells) for run in runs if run not in published.runs]
    else:
        sections = [_plain_section(published, rows, runs, cells)]
    return Table(
        name=name,
        spec=spec,
        published=published,
        wanted=wanted,
        cells=cells,
        sections=tuple(_ranked(s, spec.methods_are_columns) for s in sections),
        searches=tuple(sorted(own, key=lambda search: _place(pairs, search))),
    )


def _place(pairs: list[Pair], search: ParameterSearch) -> tuple[int, float, str]:
    """The sort key of a search: its cell, or the end; then the longest first."""
    pair = (search.row, search.column)
    cell = pairs.index(pair) if pair in pairs else len(pairs)
    return cell, -search.scale, search.changes


def _wanted(spec: TableSpec, published: paper.PublishedTable | None) -> tuple[Pair, ...]:
    """The paper's own cells or, for a table that is not in the paper, those that can be run."""
    if published:
        return published.cells
    return tuple((row, run) for row in spec.rows for run in spec.columns if spec.has(row, run))


def _plain_section(
    published: paper.PublishedTable | None,
    rows: tuple[str, ...],
    runs: tuple[str, ...],
    cells: Cells,
) -> Section:
    """A section with a run per column, whose entries are final accuracies."""
    entries = {
        (r, c): _entry(published, r, c, "final", cells, best=True) for r in rows for c in runs
    }
    return Section("", rows, runs, entries)


def _section_of_run(
    published: paper.PublishedTable, run: str, rows: tuple[str, ...], cells: Cells
) -> Section:
    """A section of one run, with a measure per column (Tables 4 and 9)."""
    columns = (c for c in published.columns_by_name.values() if c.run == run)
    measures = {c.name.removeprefix(f"{run}/"): c.measure for c in columns}
    present = tuple(row for row in rows if (row, run) in cells or published.numbers(row, run))
    best = "best" not in measures.values()
    entries = {
        (row, name): _entry(published, row, run, measure, cells, best=best and measure == "final")
        for row in present
        for name, measure in measures.items()
    }
    return Section(run, present, tuple(measures), entries)


def _section_of_other_run(run: str, cells: Cells) -> Section:
    """A section of a run that the paper does not have."""
    rows = tuple(row for row, column in cells if column == run)
    return _plain_section(None, rows, (run,), cells)


def _entry(
    published: paper.PublishedTable | None,
    row: str,
    run: str,
    measure: str,
    cells: Cells,
    *,
    best: bool,
) -> Entry:
    cell = cells.get((row, run))
    number = published.numbers(row, run).get(measure) if published else None
    measured = cell.measured(measure) if cell else None
    return Entry(
        cell=cell,
        measured=measured,
        best=cell.measured("best") if cell and best else None,
        paper=number,
        paper_deviation=published.deviations.get((row, run)) if published else None,
        note="" if measured else _note(published, row, cell, number),
    )


def _note(
    published: paper.PublishedTable | None,
    row: str,
    cell: MeasuredCell | None,
    number: float | None,
) -> str:
    if cell is not None:
        return "not recorded" if cell.runs else "failed"
    if published and row in published.quoted:
        return ""
    return "not run" if number is not None or not published else ""


def _ranked(section: Section, by_row: bool) -> Section:
    """Marks the highest of each column (or row) among its comparable entries."""
    entries = dict(section.entries)
    for line in section.rows if by_row else section.columns:
        keys = [
            key for key in entries if key[0 if by_row else 1] == line and line not in NOT_RANKED
        ]
        tops, best_tops = _highest(entries, keys, "measured"), _highest(entries, keys, "best")
        for key in keys:
            entries[key] = dataclasses.replace(
                entries[key], top=key in tops, best_top=key in best_tops
            )
    return dataclasses.replace(section, entries=entries)


def _highest(entries: dict[Pair, Entry], keys: list[Pair], field: str) -> set[Pair]:
    """The entries that print the highest number, if at least two can be compared."""
    found = {
        key: (number.mean, cell)
        for key in keys
        if (number := getattr(entries[key], field)) and (cell := entries[key].cell)
    }
    competing = comparable(cell for _, cell in found.values())
    printed = {key: round(mean, 1) for key, (mean, cell) in found.items() if cell in competing}
    if len(printed) < 2:
        return set()
    return {key for key, value in printed.items() if value == max(printed.values())}


def _in_order(first: Iterable[str], then: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*first, *then]))


def _sorted_runs(cells: Cells) -> list[str]:
    """The columns of the results, by the number they end with if all have one."""
    runs = list(dict.fromkeys(column for _, column in cells))
    rates = [rate_of(run) for run in runs]
    if None in rates:
        return runs
    return [run for _, run in sorted(zip(rates, runs, strict=True))]
