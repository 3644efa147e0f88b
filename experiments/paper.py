"""The published numbers: Tables 1-9 of arXiv 1905.11233, read from the CSV files in `published/`.

All numbers are in percent. What the paper prints as a fraction (all of Table 2, and the "0.5" of
Table 5, a classifier at chance) is multiplied by 100; `raw` keeps the printed text.

Names are those of the CSV files. A **column** is a number the paper prints, a **run** what has to
be trained for it. They differ in three tables only:

- Table 4: one run, "MARS", gives the columns "mAP" (its `final`) and "CMC-1" (a metric).
- Table 6: one run, "accuracy_mean"; the column accuracy_std is its deviation over trials.
- Table 9: one run per noise rate, "noise_0.2", gives the columns "noise_0.2/test_best",
  "noise_0.2/test_final", "noise_0.2/train_corrupted" and "noise_0.2/train_intact". Its rows are
  "CCE", "DM(beta=0)" and "DM(lambda=0.5,beta=12)"; the paper gives other parameters at other
  rates, so most of its cells are empty.
"""

import csv
import dataclasses
import functools
import pathlib
from collections.abc import Mapping

from dm_jax import errors

Pair = tuple[str, str]  # names of a row and a column
DM_PAPER = "DM paper"  # the source of the rows that the authors ran themselves
FOLDER = pathlib.Path(__file__).parent / "published"
TITLES = {
    1: "CIFAR-100, ResNet-44: symmetric and asymmetric label noise",
    2: "CIFAR-10, GoogLeNet V1: symmetric label noise",
    3: "Clothing1M, ResNet-50: real-world label noise",
    4: "MARS, GoogLeNet V2: video person re-identification",
    5: "IMDB reviews, MLP on paragraph vectors: label noise and class imbalance",
    6: "CIFAR-100, ResNet-44, 40% symmetric noise: DM, L2 and dropout, alone and combined",
    7: "CIFAR-10, ResNet-56, 40% symmetric noise: optimisers",
    8: "Vehicles-10, ResNet-44: DM, L2 and dropout, alone and combined",
    9: "CIFAR-10, ResNet-56, symmetric noise: test and training accuracy",
}
FRACTIONS = (2, 5)  # tables in which a printed value of at most 1 is a fraction
TABLE_9_MEASURES = {
    "test_best": "best",
    "test_final": "final",
    "train_corrupted": "train_corrupted",
    "train_intact": "train_intact",
}


@dataclasses.dataclass(frozen=True)
class Column:
    """A column of a published table.

    Attributes:
      name: as in the CSV file.
      run: the condition to train under, which is the `column` of its results.
      measure: which number of a result it shows: "final", "best" or the name of a metric.
    """

    name: str
    run: str
    measure: str = "final"


@dataclasses.dataclass(frozen=True)
class PublishedTable:
    """One table of the paper; accuracies in percent, None if it reports none.

    Attributes:
      number: 1 to 9.
      head: what its rows are: "method", "optimiser" or "noise".
      sources: row -> where its numbers are from; `DM_PAPER` if not quoted from another paper.
      columns_by_name: the columns; like the rows in the paper's order.
      raw: the printed text by (row, column).
      deviations: the published deviations over trials by (row, column), in percentage points.
    """

    number: int
    head: str
    sources: Mapping[str, str]
    columns_by_name: Mapping[str, Column]
    raw: Mapping[Pair, str]
    deviations: Mapping[Pair, float] = dataclasses.field(default_factory=dict)

    @property
    def title(self) -> str:
        """What it shows."""
        return TITLES[self.number]

    @property
    def rows(self) -> tuple[str, ...]:
        """Row names, in the paper's order."""
        return tuple(self.sources)

    @property
    def columns(self) -> tuple[str, ...]:
        """Column names, in the paper's order."""
        return tuple(self.columns_by_name)

    @property
    def name(self) -> str:
        """The name of the table in results: its number as text."""
        return str(self.number)

    @property
    def quoted(self) -> tuple[str, ...]:
        """The rows that the paper quotes from other papers; they are not run."""
        return tuple(row for row in self.rows if self.sources[row] != DM_PAPER)

    @property
    def runs(self) -> tuple[str, ...]:
        """The conditions to train under; a result's `column` is one of them."""
        return tuple(dict.fromkeys(column.run for column in self.columns_by_name.values()))

    @property
    def cells(self) -> tuple[Pair, ...]:
        """The (row, run) pairs that the authors ran, with at least one published number."""
        return tuple(
            (row, run)
            for row in self.rows
            for run in self.runs
            if row not in self.quoted and any(self.numbers(row, run).values())
        )

    def value(self, row: str, column: str) -> float | None:
        """A cell in percent; None if the paper has none."""
        text = self.raw.get((row, column), "")
        return _percent(self.number, text) if text else None

    def numbers(self, row: str, run: str) -> dict[str, float]:
        """The published numbers of one run, in percent, by measure; empty if there are none."""
        columns = (c for c in self.columns_by_name.values() if c.run == run)
        found = {c.measure: self.value(row, c.name) for c in columns}
        return {measure: value for measure, value in found.items() if value is not None}


def names() -> tuple[str, ...]:
    """The names of the published tables, "1" to "9"."""
    return tuple(map(str, TITLES))


@functools.cache
def table(name: int | str) -> PublishedTable:
    """A published table, by number or by name.

    >>> table(5).value("DM", "noise_0.4")
    86.4
    >>> table("5").value("MAE-DN", "imbalance_50")  # printed as 0.5
    50.0

    Raises:
      ValueError: there is no such table.
    """
    if str(name) not in names():
        raise errors.unknown("table", str(name), names())
    number = int(name)
    with (FOLDER / f"table{number}.csv").open(encoding="utf-8", newline="") as file:
        records = list(csv.DictReader(file))
    return _table_9(records) if number == 9 else _plain_table(number, records)


def _plain_table(number: int, records: list[dict[str, str]]) -> PublishedTable:
    """A table whose rows are named by its first column other than the source."""
    head, *columns = (name for name in records[0] if name != "source")
    raw = {(record[head], name): record[name] for record in records for name in columns}
    deviations = {}
    if number == 6:
        columns.remove("accuracy_std")
        deviations = {
            (record[head], "accuracy_mean"): float(record["accuracy_std"]) for record in records
        }
    by_name = {name: Column(name, run=name) for name in columns}
    if number == 4:
        by_name = {"mAP": Column("mAP", "MARS"), "CMC-1": Column("CMC-1", "MARS", measure="CMC-1")}
    sources = {record[head]: record["source"] for record in records}
    return PublishedTable(number, head, sources, by_name, raw, deviations)


def _table_9(records: list[dict[str, str]]) -> PublishedTable:
    """Table 9, which has its rows per noise rate; here rate and measure form the column."""
    records = sorted(records, key=_order_of_table_9)
    runs = dict.fromkeys(f"noise_{record['noise']}" for record in sorted(records, key=_noise))
    columns = {
        f"{run}/{printed}": Column(f"{run}/{printed}", run, measure)
        for run in runs
        for printed, measure in TABLE_9_MEASURES.items()
    }
    raw = {
        (_row_of_table_9(record), f"noise_{record['noise']}/{printed}"): record[printed]
        for record in records
        for printed in TABLE_9_MEASURES
    }
    sources = {_row_of_table_9(record): record["source"] for record in records}
    return PublishedTable(9, "method", sources, columns, raw)


def _noise(record: dict[str, str]) -> float:
    return float(record["noise"])


def _order_of_table_9(record: dict[str, str]) -> tuple[bool, float, float]:
    """CCE first, then by lambda (none before 0) and beta."""
    return (
        record["method"] != "CCE",
        float(record["lambda"] or -1),
        float(record["beta"] or 0),
    )


def _row_of_table_9(record: dict[str, str]) -> str:
    given = [f"{name}={record[name]}" for name in ("lambda", "beta") if record[name]]
    return f"{record['method']}({','.join(given)})" if given else record["method"]


def _percent(number: int, text: str) -> float:
    value = float(text)
    return round(100 * value, 6) if number in FRACTIONS and value <= 1 else value
