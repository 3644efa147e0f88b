"""A table as text for a terminal: a line per cell."""

from collections.abc import Iterator, Sequence

from experiments import text
from experiments.reporting import layout
from experiments.reporting.comparison import Entry, Table
from experiments.reporting.measured import group
from experiments.tables.result import Result


def table(results: Sequence[Result], name: str) -> str:
    """The cells of a table that were run, each next to the paper's number, and what was not run.

    The numbers are the table's, usually final accuracies; how a cell departs from the table's
    protocol is in square brackets.
    """
    built = layout.build(name, group(results).get(name, {}))
    head = (built.head, "column", "measured", "best", "paper", "difference", "seeds", "")
    lines: list[tuple[str, ...]] = [head, *_lines(built)]
    columns = [column for column in zip(*lines, strict=True) if any(column[1:])]
    padded = [[entry.ljust(max(map(len, column))) for entry in column] for column in columns]
    grid = ["  ".join(line).rstrip() for line in zip(*padded, strict=True)]
    missing = [f"not run: {built.not_run}"] if built.not_run else []
    return "\n".join([*grid, f"{built.heading}: {built.status}", *missing])


def _lines(built: Table) -> Iterator[tuple[str, ...]]:
    for section in built.sections:
        for row in section.rows:
            for column in section.columns:
                entry = section.entries[row, column]
                if entry.cell:
                    where = f"{section.title}/{column}" if section.title else column
                    yield row, where, *_numbers(entry)


def _numbers(entry: Entry) -> tuple[str, ...]:
    difference = entry.difference
    return (
        str(entry.measured) if entry.measured else entry.note,
        str(entry.best) if entry.best else "",
        "" if entry.paper is None else text.with_deviation(entry.paper, entry.paper_deviation),
        "" if difference is None else text.signed(difference),
        entry.seeds,
        f"[{entry.mark}]" if entry.mark else "",
    )
