"""Chooses the parameters of a method on a validation split, never on the test set.

Candidates train on 80% of the corrupted training data and are validated on the other 20% with clean
labels (`experiments.tables.search`). `experiments.reproduce --tune` then trains on everything.

    python -m experiments.tune --table=digits --rows=DM --columns=sym_0.4 --workdir=DIR
"""

import sys

from absl import flags

from experiments import startup
from experiments.progress import ProgressBar
from experiments.tables import search, table_flags, workers
from experiments.tables.outcome import StoppedError

flags.adopt_module_key_flags(table_flags)


def main() -> None:
    """Searches and prints what was chosen; exits with 1 if a search could not be finished."""
    if table_flags.AT_ONCE.value > 1:
        workers.share_devices()
    folder, spec = table_flags.workdir(), table_flags.spec()
    wanted = [pair for pair in table_flags.pairs(spec) if spec.grid(*pair)]
    if not wanted:
        raise ValueError(f"table {spec.name} has nothing to search in these rows and columns")
    search.check(spec, wanted, folder)
    try:
        results = search.run(spec, wanted, folder, ProgressBar(), at_once=table_flags.AT_ONCE.value)
    except StoppedError as stopped:
        print(f"stopped: {stopped}")
        return
    for (row, column), result in results.items():
        best = result.ranked[0][1]
        print(f"{row}, {column}: {dict(result.chosen)}, validation accuracy {best:.1f}%")
    if len(results) < len(wanted):
        sys.exit(f"{len(wanted) - len(results)} searches could not be finished")


if __name__ == "__main__":
    startup.run(main)
