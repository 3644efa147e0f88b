"""Runs a table, cell by cell, and prints it beside the paper's.

    python -m experiments.reproduce --table=digits --workdir=DIR

Cells are appended to DIR/results.jsonl as they finish; the same command started again runs what is
missing. Parameters that a row leaves open are searched on a validation split, never on the test
set: always for the digits, elsewhere with --tune.
"""

import pathlib
import sys
from collections.abc import Sequence

from absl import app, flags

from experiments import cells as cells_lib
from experiments import cluster, plan, report, results_file, startup, table_flags, tables, tune
from experiments.progress import Progress
from experiments.reporting import terminal

_TUNE = flags.DEFINE_bool("tune", False, "Search the methods that have a grid.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only say what would run, and how long.")
_EXECUTOR = flags.DEFINE_enum(
    "executor", "local", ["local", "slurm"], "Here, or a job of the cluster for each cell."
)

_MINUTES = flags.DEFINE_integer("minutes", 24 * 60, "Time limit of a job on the cluster.")

# Searches average over the first seeds only; they cost a grid of runs each.
_SEARCH_SEEDS = 2


def make_cells(
    spec: tables.Spec,
    pairs: Sequence[tuple[str, str]],
    searches: dict[tuple[str, str], tune.Search],
    *,
    seeds: Sequence[int],
) -> list[cells_lib.Cell]:
    """The cells of all pairs and seeds, searched rows with the parameters that were chosen."""
    cells = []
    for row, column in pairs:
        for seed in seeds:
            config = spec.cell(row, column, seed)
            if (row, column) in searches:
                config = tune.with_parameters(config, searches[row, column].chosen)
            cells.append(
                cells_lib.Cell(spec.name, row, column, seed, config, spec.scale, spec.changes)
            )
    return cells


def missing_cells(path: pathlib.Path, cells: Sequence[cells_lib.Cell]) -> list[cells_lib.Cell]:
    """Those that the results file does not hold yet.

    Raises:
      ValueError: it holds one of them under another config.
    """
    results = results_file.read(path) if path.exists() else []
    done = results_file.completed(results, {cell.key: cell.config_hash for cell in cells})
    return [cell for cell in cells if cell.key not in done]


def main(argv: list[str]) -> None:
    """Runs, writes, reports; exits with 1 if a cell failed."""
    startup.prepare()
    try:
        failed = reproduce(pathlib.Path(table_flags.WORKDIR.value or "."))
    except cells_lib.StoppedError as stopped:
        print(f"stopped: {stopped}. The same command goes on there")
        return
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    if failed:
        sys.exit(f"{failed} cells failed; their errors are in the report")


def reproduce(folder: pathlib.Path) -> int:
    """The table of the flags; returns how many cells failed."""
    spec = table_flags.spec()
    pairs = tables.select(spec, table_flags.ROWS.value, table_flags.COLUMNS.value)
    seeds = range(1, table_flags.SEEDS.value + 1)
    watcher = Progress(quiet=True)
    few = seeds[:_SEARCH_SEEDS]
    searches: dict[tuple[str, str], tune.Search] = {}
    to_search: list[cells_lib.Cell] = []
    if _TUNE.value or spec.tuned:
        to_search = tune.missing_cells(spec, pairs, folder, seeds=few)
        print(f"table {spec.name}: {len(to_search)} runs to search parameters on validation")
        if _DRY_RUN.value:
            searches = tune.found(spec, pairs, folder, seeds=few)
        else:
            searches = tune.search(spec, pairs, folder, watcher, seeds=few)
    cells = make_cells(spec, pairs, searches, seeds=seeds)
    path = folder / "results.jsonl"
    todo = missing_cells(path, cells)
    print(f"table {spec.name}: {len(cells)} runs, {len(cells) - len(todo)} of them done")
    if _DRY_RUN.value:
        print(plan.describe([*to_search, *todo]))
        return 0
    if _EXECUTOR.value == "slurm":
        jobs = cluster.submit(todo, folder.resolve(), minutes=_MINUTES.value)
        print(f"{len(jobs)} jobs submitted; started again, this command runs what is missing")
        return 0
    failed = 0
    for cell, summary in cells_lib.run_all(todo, folder / "runs", watcher):
        result = cells_lib.result(cell, summary)
        results_file.append(path, result)
        failed += result.status == "failed"
    results = results_file.read(path)
    page = report.write_report(results, folder, only=[spec.name])
    print(terminal.table(results, spec.name))
    print(f"final accuracy in %, mean ± deviation over seeds (the paper's); all of it in {page}")
    return failed


if __name__ == "__main__":
    app.run(main)
