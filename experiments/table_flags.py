"""The flags of the commands that run a table."""

import dataclasses
import math
import pathlib
import re

from absl import flags

from configs import common
from experiments import startup, tables
from experiments.spec import Spec

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
AT_ONCE = flags.DEFINE_integer(
    "at_once", 1, "Runs (or populations) at a time, each in its own process.", lower_bound=1
)
SCALE = flags.DEFINE_float("scale", 1.0, "Share of the training steps; marked in every output.")


def spec() -> Spec:
    """The table of the flags, at their scale and with their changes.

    Raises:
      ValueError: there is no such table, or the scale or a change is none.
    """
    found = tables.spec(TABLE.value or "")
    if not (math.isfinite(SCALE.value) and SCALE.value > 0):
        raise ValueError(f"--scale is a share of the training above 0, got {SCALE.value}")
    given = common.changes(SET.value or "")
    for key in given:
        if _OWNED.fullmatch(key) or found.tells_apart(key):
            name = common.short(key)
            raise ValueError(
                f"--set={name}: table {found.name} sets it, to tell its cells apart; choose "
                "among them with --rows, --columns and --seeds"
            )
    places = {key: value for key, value in given.items() if found.is_place(key, value)}
    changes = {key: value for key, value in given.items() if key not in places}
    return dataclasses.replace(
        found,
        scale=SCALE.value,
        changes=common.arguments(changes),
        places=common.arguments(places),
    )


def workdir() -> pathlib.Path:
    """The folder of the flags.

    Raises:
      ValueError: it cannot be used.
    """
    return startup.folder("--workdir", WORKDIR.value or "")


def pairs(spec: Spec) -> list[tuple[str, str]]:
    """The (row, column) pairs that the flags choose.

    Raises:
      ValueError: a pattern that matches nothing, or no cell that exists.
    """
    return tables.select(spec, ROWS.value, COLUMNS.value)
