"""A table as a person reads it in a terminal."""

from collections.abc import Sequence

from experiments import paper
from experiments.reporting import text
from experiments.reporting.cells import Cell, group
from experiments.results_file import Result


def table(results: Sequence[Result], name: str) -> str:
    """The final accuracies of a table, the paper's in brackets; "failed" where no seed finished.

    A cell that departs from the table's protocol says how, in square brackets.
    """
    cells = group(results).get(name, {})
    rows = list(dict.fromkeys(row for row, _ in cells))
    columns = list(dict.fromkeys(column for _, column in cells))
    lines = [["", *columns]]
    for row in rows:
        found = [cells.get((row, column)) for column in columns]
        lines.append([row, *(_entry(name, cell) if cell else "" for cell in found)])
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(entry.ljust(width) for entry, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def _entry(name: str, cell: Cell) -> str:
    measured = cell.measured("final")
    shown = text.number(measured) if measured else "failed"
    said = {}
    if name in paper.names():
        said = paper.table(name).published(cell.row, cell.column)
    parts = [shown, f"({said['final']:.1f})" if "final" in said else "", f"[{cell.mark}]"]
    return " ".join(part for part in parts if part not in ("", "[]"))
