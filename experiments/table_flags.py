"""The flags of the commands that run a table."""

import dataclasses
import math
import pathlib
import re

from absl import flags

from configs import overrides
from dm_jax import errors
from experiments import startup, table_specs
from experiments.spec import TableSpec

# What is a table's own: to set it would put one cell's numbers under another's name.
_OWNED = re.compile(r"seed|method|noise\..*|loss\.name|loss\.normalization")


class _Patterns(flags.ArgumentParser):
    """A list with commas between names, not those within their brackets: "DM(lambda=1,beta=2)"."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """The names between the commas; a list is one already.

        Raises:
          ValueError: one of them is empty.
        """
        if isinstance(argument, list):
            return argument
        names = [name.strip() for name in re.split(r",(?![^()]*\))", argument)]
        if not all(names):
            raise ValueError("takes patterns separated by commas, one at least")
        return names


def _patterns(name: str, what: str) -> flags.FlagHolder:
    return flags.DEFINE(_Patterns(), name, ["*"], what, serializer=flags.ListSerializer[str](","))


TABLE = flags.DEFINE_string(
    "table", None, "1 to 9, digits, cifar_n, figure10 or figure11.", required=True
)
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything goes.", required=True)
ROWS = _patterns("rows", "Patterns of row names, such as 'DM*'.")
COLUMNS = _patterns("columns", "Patterns of column names.")
SET = flags.DEFINE_string(
    "set", "", "Config arguments, such as 'model=resnet20'; marked in every output."
)
METHOD = flags.DEFINE_multi_string(
    "method",
    [],
    "A method of your own beside the table's, as 'NAME: CONFIG ARGUMENTS'; may be given again.",
)
GRID = flags.DEFINE_multi_string(
    "grid", [], "What to search for it with --tune, as 'NAME: PARAMETER=VALUE;VALUE,...'."
)
AT_ONCE = flags.DEFINE_integer(
    "at_once", 1, "Runs (or populations) at a time, each in its own process.", lower_bound=1
)
SCALE = flags.DEFINE_float("scale", 1.0, "Share of the training steps; marked in every output.")


def spec() -> TableSpec:
    """The table of the flags, with their methods, at their scale and with their changes.

    Raises:
      ValueError: there is no such table, or a method, a grid, the scale or a change is none.
    """
    found = _with_methods(table_specs.get(TABLE.value or ""))
    if not (math.isfinite(SCALE.value) and SCALE.value > 0):
        raise ValueError(f"--scale is a share of the training above 0, got {SCALE.value}")
    given = overrides.parse(SET.value or "")
    for key in given:
        if _OWNED.fullmatch(key) or found.distinguishes_cells(key):
            name = overrides.short_name(key)
            raise ValueError(
                f"--set={name}: table {found.name} sets it, to tell its cells apart; choose "
                "among them with --rows, --columns and --seeds"
            )
    places = {key: value for key, value in given.items() if found.is_runtime(key, value)}
    changes = {key: value for key, value in given.items() if key not in places}
    return dataclasses.replace(
        found,
        scale=SCALE.value,
        changes=overrides.format_changes(changes),
        runtime_arguments=overrides.format_changes(places),
    )


def _with_methods(spec: TableSpec) -> TableSpec:
    methods = dict(_named("--method", text) for text in METHOD.value)
    grids = dict(_named("--grid", text) for text in GRID.value)
    for name in grids:
        if name not in methods:
            raise errors.unknown("--method of --grid:", name, methods)
    for name, arguments in methods.items():
        spec = spec.with_method(name, arguments, _grid(grids.get(name, "")))
    return spec


def _named(flag: str, text: str) -> tuple[str, str]:
    name, separator, rest = text.partition(": ")
    if not (name.strip() and separator and rest.strip()):
        raise ValueError(f"{flag} reads 'NAME: ...', got {text!r}")
    return name.strip(), rest.strip()


def _grid(text: str) -> dict[str, tuple[float, ...]]:
    """{"beta": (4.0, 8.0)} of "beta=4;8"."""
    grid = {}
    for part in text.split(",") if text else ():
        name, values = overrides.parse_pair(part)
        try:
            grid[name.strip()] = tuple(float(value) for value in values.split(";"))
        except ValueError:
            raise ValueError(f"--grid takes numbers with ';' between them, got {part!r}") from None
    return grid


def workdir() -> pathlib.Path:
    """The folder of the flags.

    Raises:
      ValueError: it cannot be used.
    """
    return startup.folder("--workdir", WORKDIR.value or "")


def pairs(spec: TableSpec) -> list[tuple[str, str]]:
    """The (row, column) pairs that the flags choose.

    Raises:
      ValueError: a pattern that matches nothing, or no cell that exists.
    """
    return table_specs.select(spec, ROWS.value, COLUMNS.value)
