"""The flags of the commands that run a table."""

import dataclasses
import re

from absl import flags

from experiments import tables


class _Patterns(flags.ArgumentParser):
    """A list with commas between names, not those within their brackets: "DM(lambda=1,beta=2)"."""

    def parse(self, argument: str | list[str]) -> list[str]:
        if isinstance(argument, list):
            return argument
        return [name.strip() for name in re.split(r",(?![^()]*\))", argument) if name.strip()]


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
SCALE = flags.DEFINE_float(
    "scale", 1.0, "Share of the training steps; marked in every output.", lower_bound=1e-6
)


def spec() -> tables.Spec:
    """The table of the flags, at their scale and with their changes.

    Raises:
      ValueError: there is no such table.
    """
    found = tables.spec(TABLE.value or "")
    given = [argument for argument in (SET.value or "").split(",") if argument]
    places = [argument for argument in given if found.is_place(argument.partition("=")[0])]
    changes = [argument for argument in given if argument not in places]
    return dataclasses.replace(
        found, scale=SCALE.value, changes=",".join(changes), places=",".join(places)
    )


def pairs(spec: tables.Spec) -> list[tuple[str, str]]:
    """The (row, column) pairs that the flags choose.

    Raises:
      ValueError: a pattern that matches nothing, or no cell that exists.
    """
    return tables.select(spec, ROWS.value, COLUMNS.value)
