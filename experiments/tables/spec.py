"""The specification of a table, and the configs of its cells."""

import dataclasses
import importlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections

from configs import length, overrides
from dm_jax import errors
from dm_jax.train import Config
from experiments.paper import Pair

Grids = Mapping[str, Mapping[str, Sequence[float]]]


@dataclasses.dataclass(frozen=True)
class TableSpec:
    """A table that can be run: every row at every column.

    Attributes:
      name: "1" to "9", "digits", "cifar_n", "figure10" or "figure11".
      config_file: name of the file under configs/, without its suffix.
      rows, columns: name -> arguments for the config (`configs.overrides.apply`); a cell gets
        those of its row, then those of its column.
      cell_arguments: (row, column) -> further arguments of that cell.
      existing_cells: the (row, column) pairs of the table; None means all.
      grids: row, or column where methods are columns -> {EDF parameter: values to search on the
        validation split}.
      our_choices: what the paper leaves open and we chose, for the report.
      always_searched: whether the grids are searched even without --tune.
      scale: factor on the length of the training; 1.0 is the protocol.
      changes: further arguments that depart from the protocol.
      runtime_arguments: further arguments that leave the protocol unchanged, such as file locations
        and devices.
      runtime_keys: the config keys of such arguments, or their prefixes.
      title: title of a table that is not in the paper.
      measure: the metric that the table shows.
      methods_are_columns: whether a row is a condition and a column a method.
      needs_agreement: whether the data require a licence agreement.
      figures: the paper's figures that show its curves.
      method_defaults: arguments of a custom method (`with_method`), which may override them.
      rows_span_rates: whether rows are run at several noise rates, so that accuracy can be
        plotted over them.
    """

    name: str
    config_file: str
    rows: Mapping[str, str]
    columns: Mapping[str, str]
    cell_arguments: Mapping[Pair, str] = dataclasses.field(default_factory=dict)
    existing_cells: tuple[Pair, ...] | None = None
    grids: Grids = dataclasses.field(default_factory=dict)
    our_choices: str = ""
    always_searched: bool = False
    scale: float = 1.0
    changes: str = ""
    runtime_arguments: str = ""
    runtime_keys: tuple[str, ...] = ("data.data_dir", "parallel.")
    title: str = ""
    measure: str = "test_accuracy"
    methods_are_columns: bool = False
    needs_agreement: bool = False
    figures: str = ""
    method_defaults: str = ""
    rows_span_rates: bool = True

    def is_runtime(self, key: str, value: str) -> bool:
        """Whether setting that config key to that value leaves the protocol unchanged."""
        # Other weights files keep the protocol; training without any does not.
        return key.startswith(self.runtime_keys) and (key, value) != ("model.pretrained", "")

    def distinguishes_cells(self, key: str) -> bool:
        """Whether rows, columns or cells differ in that config key.

        Keys that are searched (`grids`) do not count.
        """
        if self._is_searched(key):
            return False
        named: Mapping[Any, str]
        for named in (self.rows, self.columns, self.cell_arguments):
            values = {overrides.parse(arguments).get(key) for arguments in named.values()}
            if key.startswith("loss."):  # another method's loss may not have it
                values.discard(None)
            if len(values) > 1:
                return True
        return False

    def _is_searched(self, key: str) -> bool:
        """Whether the grid of any method includes that config key."""
        return key in {f"loss.{name}" for grid in self.grids.values() for name in grid}

    def with_method(
        self, name: str, arguments: str, grid: Mapping[str, Sequence[float]]
    ) -> "TableSpec":
        """The table with one more method: a row, or a column where methods are columns.

        Args:
          name: name of the row or column.
          arguments: config arguments: the method and its loss's parameters; in Tables 6 and 8 also
            L2 and dropout.
          grid: EDF parameter -> values to search; may be empty.

        Raises:
          ValueError: the name is taken, or an argument would change the protocol.
        """
        self._check_method(name, arguments)
        rows, columns = dict(self.rows), dict(self.columns)
        methods = columns if self.methods_are_columns else rows
        methods[name] = _merged(self.method_defaults, arguments)
        grids = {**self.grids, name: dict(grid)} if grid else self.grids
        extended = dataclasses.replace(self, rows=rows, columns=columns, grids=grids)
        if self.existing_cells is None:
            return extended
        own = [(row, column) for row in rows for column in columns if name in (row, column)]
        distinct = [pair for i, pair in enumerate(own) if not extended._is_repeated(pair, own[:i])]
        return dataclasses.replace(extended, existing_cells=(*self.existing_cells, *distinct))

    def _check_method(self, name: str, arguments: str) -> None:
        accepted = {"method", *overrides.parse(self.method_defaults)}
        try:
            given = overrides.parse(arguments)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from error
        for key in given:
            if key not in accepted and not key.startswith("loss."):
                raise ValueError(
                    f"{name}: {overrides.short_name(key)} belongs to the protocol, not to a "
                    "method; --set changes it for all methods and marks it in every output"
                )
        if "," in re.sub(r"\(.*?\)", "", name) or not name.isprintable():
            raise ValueError(
                f"a method's name must be printable, without a comma outside brackets, got {name!r}"
            )
        if name in self.rows or name in self.columns:
            raise ValueError(f"table {self.name} already has a {name!r}; choose another name")

    def _is_repeated(self, pair: Pair, earlier: Sequence[Pair]) -> bool:
        """Whether an earlier cell has the same config, as Table 3's two columns of DM would."""
        try:
            config = self.cell_config_dict(*pair, seed=1)
            return any(self.cell_config_dict(*other, seed=1) == config for other in earlier)
        except ValueError:  # the cell says so when it is made
            return False

    def has(self, row: str, column: str) -> bool:
        """Whether that cell exists."""
        return self.existing_cells is None or (row, column) in self.existing_cells

    def grid(self, row: str, column: str) -> Mapping[str, Sequence[float]]:
        """The parameter grid of that cell; empty if there is none."""
        return self.grids.get(row) or self.grids.get(column) or {}

    def cell_config_dict(self, row: str, column: str, seed: int) -> ml_collections.ConfigDict:
        """The config of a cell, as `experiments.train` would get it."""
        of_cell = self.cell_arguments.get((row, column), "")
        arguments = _merged(self.rows[row], self.columns[column], of_cell)
        config = importlib.import_module(f"configs.{self.config_file}").get_config(arguments)
        try:
            overrides.apply(config, self.changes)
        except ValueError as error:
            raise ValueError(f"--set={self.changes}, for {row} at {column}: {error}") from error
        for later in (self.runtime_arguments, f"seed={seed}"):
            overrides.apply(config, later)
        return config

    def cell_config(self, row: str, column: str, seed: int) -> Config:
        """The parsed config of a cell.

        Raises:
          ValueError: an unknown row or column (the message gives the nearest), or a change that
            contradicts the definition of the cell.
        """
        for what, name, known in (("row", row, self.rows), ("column", column, self.columns)):
            if name not in known:
                raise errors.unknown(f"{what} of table {self.name}", name, known)
        self._check_changes(row, column)
        config = self.cell_config_dict(row, column, seed)
        if not config.data.test:
            raise ValueError("data.test must be true: a table reports the test set")
        if self.scale == 1.0:
            return Config.parse(config)
        length.scale(config, self.scale)
        try:
            return Config.parse(config)
        except ValueError as error:
            raise ValueError(f"at scale {self.scale:g}: {error}") from error

    def _check_changes(self, row: str, column: str) -> None:
        """Rejects changes of parameters that are searched for other rows but fixed for this one."""
        own = overrides.parse(_merged(self.rows[row], self.columns[column]))
        for key in overrides.parse(self.changes):
            searched_here = key.removeprefix("loss.") in self.grid(row, column)
            if key in own and self._is_searched(key) and not searched_here:
                raise ValueError(
                    f"--set={overrides.short_name(key)}: {row} at {column} is defined by "
                    f"{overrides.short_name(key)}={own[key]}; choose other rows or columns"
                )


def _merged(*arguments: str) -> str:
    """Config arguments as one; later ones replace earlier ones of the same key."""
    merged: dict[str, str] = {}
    for one in arguments:
        merged |= overrides.parse(one)
    # As full keys: a custom scheme may have a parameter called "rate".
    return ",".join(f"{key}={value}" for key, value in merged.items())
