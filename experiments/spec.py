"""What a table that can be run is made of, and how its cells get their configs."""

import dataclasses
import importlib
from collections.abc import Mapping, Sequence

import ml_collections

from configs import common
from dm_jax import errors
from dm_jax.train import Config

Grids = Mapping[str, Mapping[str, Sequence[float]]]


@dataclasses.dataclass(frozen=True)
class Spec:
    """A table: every row at every column.

    Attributes:
      name: "1" to "9", "digits", "cifar_n", "figure10" or "figure11".
      config: name of the file under configs/.
      rows, columns: name -> arguments for the config (`configs.common.apply`); a cell's are those
        of its row, then of its column.
      cells: {(row, column): further arguments}, where the paper's settings differ by cell.
      only: the (row, column) pairs there are; None means all.
      grids: row, or column where methods are columns -> {EDF parameter: values to search on the
        validation split}.
      ours: what is our choice, for the report.
      tuned: whether the grids are searched without being asked.
      scale: of the length of the training; 1.0 is the protocol.
      changes: further arguments that depart from the protocol.
      places: further arguments that do not: they say where things lie and on what they run.
      place_keys: the config keys of such arguments, or how they begin.
      title: what it shows, of a table that the paper has not.
      measure: which of the run's numbers it shows.
      methods_are_columns: whether a row is a condition and a column a method.
      needs_agreement: whether its data cannot be had without one.
      figures: the paper's figures that are its curves.
      plain: arguments that a method of the user's own begins with; it may change their keys.
      rows_span_rates: whether rows are run at several noise rates, so that a line over them means
        something.
    """

    name: str
    config: str
    rows: Mapping[str, str]
    columns: Mapping[str, str]
    cells: Mapping[tuple[str, str], str] = dataclasses.field(default_factory=dict)
    only: tuple[tuple[str, str], ...] | None = None
    grids: Grids = dataclasses.field(default_factory=dict)
    ours: str = ""
    tuned: bool = False
    scale: float = 1.0
    changes: str = ""
    places: str = ""
    place_keys: tuple[str, ...] = ("data.data_dir", "parallel.")
    title: str = ""
    measure: str = "test_accuracy"
    methods_are_columns: bool = False
    needs_agreement: bool = False
    figures: str = ""
    plain: str = ""
    rows_span_rates: bool = True

    def is_place(self, key: str, value: str) -> bool:
        """Whether setting that config key so leaves the protocol what it is."""
        # To leave the weights out is a change, not another place of them.
        return key.startswith(self.place_keys) and (key, value) != ("model.pretrained", "")

    def tells_apart(self, key: str) -> bool:
        """Whether that config key is what makes a row, or a column, another than the next.

        What the paper leaves open (`grids`) does not.
        """
        if self._is_searched(key):
            return False
        for names in (self.rows, self.columns):
            values = {common.changes(arguments).get(key) for arguments in names.values()}
            if key.startswith("loss."):  # which another method has not
                values.discard(None)
            if len(values) > 1:
                return True
        return False

    def _is_searched(self, key: str) -> bool:
        """Whether a grid has it, of whichever row."""
        return key in {f"loss.{name}" for grid in self.grids.values() for name in grid}

    def with_method(self, name: str, arguments: str, grid: Mapping[str, Sequence[float]]) -> "Spec":
        """The table with a method more: a row, or a column where methods are columns.

        Args:
          name: of the row or column.
          arguments: for the config: the method and what belongs to its loss; in Tables 6 and 8 L2
            and dropout too.
          grid: EDF parameter -> values to search; may be empty.

        Raises:
          ValueError: the table has one of that name, or an argument would change the protocol.
        """
        accepted = {"method", *common.changes(self.plain)}
        for key in common.changes(arguments):
            if key not in accepted and not key.startswith("loss."):
                raise ValueError(
                    f"{name}: {common.short(key)} is of the table's protocol, not of a method; "
                    "--set changes it for all, and every output says so"
                )
        rows, columns = dict(self.rows), dict(self.columns)
        methods = columns if self.methods_are_columns else rows
        if name in methods:
            raise ValueError(f"table {self.name} has a {name!r} already; choose another name")
        methods[name] = f"{self.plain},{arguments}" if self.plain else arguments
        own = [(row, column) for row in rows for column in columns if name in (row, column)]
        return dataclasses.replace(
            self,
            rows=rows,
            columns=columns,
            only=None if self.only is None else (*self.only, *own),
            grids={**self.grids, name: dict(grid)} if grid else self.grids,
        )

    def has(self, row: str, column: str) -> bool:
        """Whether that cell exists."""
        return self.only is None or (row, column) in self.only

    def grid(self, row: str, column: str) -> Mapping[str, Sequence[float]]:
        """What there is to search for that cell; empty if nothing."""
        return self.grids.get(row) or self.grids.get(column) or {}

    def config_dict(self, row: str, column: str, seed: int) -> ml_collections.ConfigDict:
        """The config of a cell, as it would be given to experiments.train."""
        own = self.cells.get((row, column), "")
        parts = (self.rows[row], self.columns[column], own, self.changes, self.places)
        arguments = ",".join(part for part in (*parts, f"seed={seed}") if part)
        return importlib.import_module(f"configs.{self.config}").get_config(arguments)

    def cell(self, row: str, column: str, seed: int) -> Config:
        """The parsed config of a cell.

        Raises:
          ValueError: an unknown row or column (the message gives the nearest), or a change that
            would make the cell another one.
        """
        for what, name, known in (("row", row, self.rows), ("column", column, self.columns)):
            if name not in known:
                raise errors.unknown(f"{what} of table {self.name}", name, known)
        self._check_changes(row, column)
        config = self.config_dict(row, column, seed)
        if not config.data.test:
            raise ValueError("data.test must be true: a table reports the test set")
        if self.scale == 1.0:
            return Config.parse(config)
        common.rescale(config, self.scale)
        try:
            return Config.parse(config)
        except ValueError as error:
            raise ValueError(f"at scale {self.scale:g}: {error}") from error

    def _check_changes(self, row: str, column: str) -> None:
        """What is open for other rows, but makes this one what it is, is not changed."""
        own = common.changes(",".join((self.rows[row], self.columns[column])))
        for key in common.changes(self.changes):
            searched_here = key.removeprefix("loss.") in self.grid(row, column)
            if key in own and self._is_searched(key) and not searched_here:
                raise ValueError(
                    f"--set={common.short(key)}: {row} at {column} is what it is by "
                    f"{common.short(key)}={own[key]}; choose other rows or columns"
                )
