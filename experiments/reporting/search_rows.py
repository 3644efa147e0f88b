"""The searches on validation splits: a line per cell, every candidate with its accuracy."""

from typing import NamedTuple

from experiments.reporting.comparison import Table
from experiments.reporting.measured import mark
from experiments.tables.tuning_file import ParameterSearch
from experiments.text import parameters

TITLE = "Searched on a validation split"
HEADINGS = ("cell", "chosen", "validation accuracy (%)", "also tried, the best first", "seeds")


class SearchRow(NamedTuple):
    """One search, in words; `tried` does not include the chosen candidate."""

    cell: str
    chosen: str
    accuracy: str
    tried: str
    seeds: str


def lines(table: Table) -> list[SearchRow]:
    """A line for each search that the table has."""
    return [_line(search) for search in table.searches]


def _line(search: ParameterSearch) -> SearchRow:
    (chosen, accuracy), *others = search.ranked
    protocol = mark(search.scale, search.changes)
    return SearchRow(
        cell=f"{search.row} at {search.column}" + (f" ({protocol})" if protocol else ""),
        chosen=parameters(chosen),
        accuracy=f"{accuracy:.1f}",
        tried="; ".join(f"{parameters(tried)}: {score:.1f}" for tried, score in others),
        seeds=", ".join(map(str, search.seeds)),
    )
