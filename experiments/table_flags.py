"""The flags of the commands that run a table."""

from absl import flags

TABLE = flags.DEFINE_string("table", None, "1 to 9, digits or cifar_n.", required=True)
WORKDIR = flags.DEFINE_string("workdir", None, "Where everything goes.", required=True)
ROWS = flags.DEFINE_list("rows", ["*"], "Patterns of row names, such as 'DM*'.")
COLUMNS = flags.DEFINE_list("columns", ["*"], "Patterns of column names.")
SEEDS = flags.DEFINE_integer("seeds", 5, "Runs of each cell, with seeds 1, 2, ...", lower_bound=1)
SCALE = flags.DEFINE_float(
    "scale", 1.0, "Share of the training steps; marked in every output.", lower_bound=1e-6
)
