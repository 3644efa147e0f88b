"""The flags of the commands that run a table."""

import dataclasses
import functools
import math
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Any

import ml_collections
from absl import flags

from configs import overrides
from dm_jax import errors
from experiments import startup
from experiments.paper import Pair
from experiments.tables import table_specs
from experiments.tables.spec import TableSpec

# Keys that define a cell: setting one would file its numbers under the wrong name.
_OWNED = re.compile(r"seed|method|noise\..*|loss\.name|loss\.normalization")
_OF_SEVERAL_HOSTS = re.compile(r"parallel\.(distributed|coordinator|processes|process)")


class _Patterns(flags.ArgumentParser):
    """A comma-separated list of names, which may have commas in brackets: "DM(lambda=1,beta=2)"."""

    def parse(self, argument: str | list[str]) -> list[str]:
        """Splits a text into names; returns a list unchanged.

        Raises:
          ValueError: a name is empty.
        """
        if isinstance(argument, list):
            return argument
        names = [name.strip() for name in _split_outside_brackets(argument)]
        if not all(names):
            raise ValueError("takes one or more comma-separated patterns")
        return names


def _split_outside_brackets(text: str) -> list[str]:
    """The parts between commas; a bracket may stay open, as in "DM(lambda=2*"."""
    parts, depth = [""], 0
    for character in text:
        if character == "," and not depth:
            parts.append("")
            continue
        parts[-1] += character
        depth = max(depth + (character == "(") - (character == ")"), 0)
    return parts


def _patterns(name: str, what: str) -> flags.FlagHolder:
    return flags.DEFINE(_Patterns(), name, ["*"], what, serializer=flags.ListSerializer[str](","))


TABLE = flags.DEFINE_string(
    "table", None, "1 to 9, digits, cifar_n, figure10 or figure11.", required=True
)
WORKDIR = flags.DEFINE_string("workdir", None, "Folder for all output.", required=True)
ROWS = _patterns("rows", "Patterns of row names, such as 'DM*'.")
COLUMNS = _patterns("columns", "Patterns of column names.")
SET = flags.DEFINE_string(
    "set", "", "Config arguments, such as 'model=resnet20'; marked in every output."
)
METHOD = flags.DEFINE_multi_string(
    "method",
    [],
    "A custom method next to the table's, as 'NAME: CONFIG ARGUMENTS'; can be repeated.",
)
GRID = flags.DEFINE_multi_string(
    "grid",
    [],
    "A custom method's grid to search with --tune, as 'NAME: PARAMETER=VALUE;VALUE,...'.",
)
AT_ONCE = flags.DEFINE_integer(
    "at_once", 1, "Runs (or populations) at a time, each in its own process.", lower_bound=1
)
SCALE = flags.DEFINE_float("scale", 1.0, "Fraction of the training steps; marked in every output.")


def spec() -> TableSpec:
    """The table that the flags choose, with their methods, scale and changes.

    Raises:
      ValueError: an unknown table, or an invalid method, grid, scale or change.
    """
    found = _with_methods(table_specs.get(TABLE.value or ""))
    if not (math.isfinite(SCALE.value) and SCALE.value > 0):
        raise ValueError(f"--scale must be a finite number above 0, got {SCALE.value}")
    try:
        given = overrides.parse(SET.value or "")
    except ValueError as error:
        raise ValueError(f"--set: {error}") from error
    for key in given:
        if _OWNED.fullmatch(key) or found.distinguishes_cells(key):
            name = overrides.short_name(key)
            raise ValueError(
                f"--set={name}: table {found.name} sets it to distinguish its cells; select them "
                "with --rows, --columns and --seeds"
            )
        if _OF_SEVERAL_HOSTS.fullmatch(key):
            raise ValueError(
                f"--set={key}: the cells of a table train on one host each; --executor=slurm "
                "spreads them over a cluster, and experiments.train trains one run on several hosts"
            )
    runtime = {key: value for key, value in given.items() if found.is_runtime(key, value)}
    changes = {key: value for key, value in given.items() if key not in runtime}
    found = dataclasses.replace(found, scale=SCALE.value)
    effective = _effective(found, changes) if changes else {}
    return dataclasses.replace(
        found,
        changes=overrides.format_changes(effective),
        runtime_arguments=overrides.format_changes(runtime),
    )


def _effective(spec: TableSpec, changes: Mapping[str, str]) -> dict[str, str]:
    """The changes that change a chosen cell, each value written in one way: ".02" as "0.02".

    A cell that cannot be changed so says that when it is made.
    """
    changed = {pair: _changed(spec, pair, changes) for pair in pairs(spec)}
    changed = {pair: config for pair, config in changed.items() if config is not None}
    if not changed:
        return dict(changes)
    kept: dict[str, str] = {}
    for key, text in changes.items():
        others = {name: value for name, value in changes.items() if name != key}
        if any(_changed(spec, pair, others) != config for pair, config in changed.items()):
            config = next(iter(changed.values()))
            kept[key] = text if key == "steps" else _as_text(_value(config, key))
    return kept


def _changed(
    spec: TableSpec, pair: Pair, changes: Mapping[str, str]
) -> ml_collections.ConfigDict | None:
    """The config of a cell with these changes, None if they do not apply to it."""
    changed = dataclasses.replace(spec, changes=overrides.format_changes(changes))
    try:
        return changed.cell_config_dict(*pair, seed=1)
    except ValueError:
        return None


def _value(config: ml_collections.ConfigDict, key: str) -> Any:
    return functools.reduce(lambda group, name: group[name], key.split("."), config)


def _as_text(value: Any) -> str:
    if isinstance(value, tuple | list):
        return ";".join(map(_as_text, value))
    if isinstance(value, float) and float(f"{value:g}") == value:
        return f"{value:g}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _with_methods(spec: TableSpec) -> TableSpec:
    methods, grids = _named("--method", METHOD.value), _named("--grid", GRID.value)
    for name in grids:
        if name not in methods:
            raise errors.unknown("--method of --grid:", name, methods)
    for name, arguments in methods.items():
        grid = _grid(grids.get(name, ""), custom=":" in arguments)
        spec = spec.with_method(name, arguments, grid)
    return spec


def _named(flag: str, texts: Sequence[str]) -> dict[str, str]:
    """Parses "NAME: TEXT" to {NAME: TEXT}."""
    found: dict[str, str] = {}
    for text in texts:
        name, separator, rest = (part.strip() for part in text.partition(": "))
        if not (name and separator and rest):
            raise ValueError(f"{flag} must be 'NAME: ...' with a blank, got {text!r}")
        if name in found:
            raise ValueError(f"{flag} has {name!r} twice")
        found[name] = rest
    return found


def _grid(text: str, *, custom: bool) -> dict[str, tuple[float, ...]]:
    """Parses "beta=4;8" to {"beta": (4.0, 8.0)}; custom schemes may want whole numbers as such."""
    read = _number if custom else float
    grid = {}
    for part in text.split(",") if text else ():
        if "=" not in part:
            raise ValueError(f"--grid must be 'NAME: PARAMETER=VALUE;VALUE,...', got {part!r}")
        name, values = overrides.parse_pair(part)
        if name in grid:
            raise ValueError(f"--grid has {name!r} twice, got {text!r}")
        try:
            grid[name] = tuple(read(value) for value in values.split(";"))
        except ValueError:
            raise ValueError(f"--grid takes numbers separated by ';', got {part!r}") from None
        if len(set(grid[name])) < len(grid[name]):
            raise ValueError(f"--grid has a value of {name} twice, got {part!r}")
    return grid


def _number(text: str) -> float:
    return int(text) if re.fullmatch(r"\s*[+-]?\d+\s*", text) else float(text)


def workdir() -> pathlib.Path:
    """The folder of --workdir.

    Raises:
      ValueError: the flag is empty, or the folder is not writable.
    """
    return startup.folder("--workdir", WORKDIR.value or "")


def pairs(spec: TableSpec) -> list[Pair]:
    """The (row, column) pairs that the flags choose.

    Raises:
      ValueError: a pattern matches no name, or no existing cell or custom method matches.
    """
    found = table_specs.select(spec, ROWS.value, COLUMNS.value)
    for name in _named("--method", METHOD.value):
        if not any(name in pair for pair in found):
            raise ValueError(f"--method {name!r}: --rows and --columns choose no cell of it")
    return found
