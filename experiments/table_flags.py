"""The flags of the commands that run a table."""

import dataclasses

from absl import flags

from experiments import tables

TABLE = flags.DEFINE_string(
    "table", None, "1 to 9, digits, cifar_n, figure10 or figure11.", required=True
)
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything goes.", required=True)
ROWS = flags.DEFINE_list("rows", ["*"], "Patterns of row names, such as 'DM*'.")
COLUMNS = flags.DEFINE_list("columns", ["*"], "Patterns of column names.")
SEEDS = flags.DEFINE_integer("seeds", 5, "Runs of each cell, with seeds 1, 2, ...", lower_bound=1)
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
    return dataclasses.replace(found, scale=SCALE.value, changes=SET.value)
