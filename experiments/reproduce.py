"""Runs a table, cell by cell, and prints it beside the paper's.

    python -m experiments.reproduce --table=digits --workdir=DIR

Cells are appended to DIR/results.jsonl as they finish; the same command started again runs what is
missing. Parameters that a row leaves open are searched on a validation split, never on the test
set: always for the digits, elsewhere with --tune.
"""

import contextlib
import pathlib
import sys
from collections.abc import Sequence

from absl import flags

from configs import overrides
from experiments import cells as cells_lib
from experiments import (
    cluster,
    plan,
    record,
    report,
    results_file,
    startup,
    table_flags,
    tune,
    workers,
)
from experiments import searches as searches_lib
from experiments.progress import ProgressBar
from experiments.reporting import terminal
from experiments.searches import ParameterSearch
from experiments.spec import TableSpec

_TUNE = flags.DEFINE_bool("tune", False, "Search the methods that have a grid.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only say what would run, and how long.")
_EXECUTOR = flags.DEFINE_enum(
    "executor", "local", ["local", "slurm"], "Here, or a job of the cluster for each cell."
)

_MINUTES = flags.DEFINE_integer(
    "minutes", 24 * 60, "Time limit of a job on the cluster.", lower_bound=1
)
_SLURM = flags.DEFINE_list("slurm", [], "Options of SLURM, such as 'partition=gpu,account=mine'.")

SEEDS = flags.DEFINE_integer("seeds", 5, "Runs of each cell, with seeds 1, 2, ...", lower_bound=1)
flags.adopt_module_key_flags(table_flags)


def make_cells(
    spec: TableSpec,
    pairs: Sequence[tuple[str, str]],
    searches: dict[tuple[str, str], ParameterSearch],
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
    done = results_file.completed(results, {cell.key: cell.plain for cell in cells})
    return [cell for cell in cells if cell.key not in done]


def main() -> None:
    """Runs, writes, reports; exits with 1 if a cell failed."""
    failed = reproduce(table_flags.workdir())
    if failed:
        what = "runs that cannot start" if _DRY_RUN.value else "cells that failed"
        sys.exit(f"{what}: {failed}; why is said above")


def reproduce(folder: pathlib.Path) -> int:
    """The table of the flags; returns how many cells failed, those without parameters included."""
    if _EXECUTOR.value == "slurm" and table_flags.AT_ONCE.value > 1:
        raise ValueError("--at_once is of --executor=local; a cluster has one job for each cell")
    record.commit()  # as it is now, not once cells have trained
    spec, path = table_flags.spec(), folder / "results.jsonl"
    wanted, progress = table_flags.pairs(spec), ProgressBar(quiet=True)
    try:
        to_search, searches = _searched(spec, wanted, folder, progress)
    except cells_lib.StoppedError as stopped:
        print(f"stopped: {stopped}")
        return 0
    lost = [pair for pair in wanted if to_search and spec.grid(*pair) and pair not in searches]
    pairs = wanted if _DRY_RUN.value else [pair for pair in wanted if pair not in lost]
    cells = make_cells(spec, pairs, searches, seeds=range(1, SEEDS.value + 1))
    todo = missing_cells(path, cells)
    done = len(cells) - len(todo)
    print(f"table {spec.name}: {len(cells)} runs, {done} of them done", flush=True)
    if _DRY_RUN.value:
        text, failed = plan.describe([*to_search, *todo])
        print(text)
        return failed
    if _EXECUTOR.value == "slurm" and todo:
        options = dict(overrides.parse_pair(text) for text in _SLURM.value)
        jobs = cluster.submit(todo, folder.resolve(), minutes=_MINUTES.value, options=options)
        print(f"{len(jobs)} jobs submitted, {len(todo) - len(jobs)} were on their way already")
        print("started again, this command submits what is then missing")
        return len(lost)
    failed, unfinished = _run(todo, folder, progress)
    failed += len(lost)
    if unfinished or not path.exists():
        return failed
    results = results_file.read(path)
    names = {result.table for result in results}
    known = searches_lib.read(folder).values()
    page = report.write_report(results, folder, searches=known, only=names)
    print(terminal.table(results, spec.name))
    print(f"all of it, with curves and provenance: {page}")
    return failed


def _run(
    todo: Sequence[cells_lib.Cell], folder: pathlib.Path, progress: ProgressBar
) -> tuple[int, bool]:
    """Runs cells and appends their results; how many failed, and whether a stop was requested."""
    failed, reasons, at_once = 0, set(), table_flags.AT_ONCE.value
    runs = workers.run_all(todo, folder / "runs", progress, at_once=at_once)
    with contextlib.closing(runs):
        try:
            for cell, summary in runs:
                result = record.result(cell, summary)
                results_file.append(folder / "results.jsonl", result)
                name = f"{cell.row}, {cell.column}, seed {cell.seed}"
                failed += result.status == "failed"
                if result.error and result.error not in reasons:
                    reasons.add(result.error)
                    print(f"{name} failed: {result.error}")
                elif not result.error and (at_once > 1 or _is_news(cell)):
                    print(f"{name}: {result.final:.1f}", flush=True)
        except cells_lib.StoppedError as stopped:
            print(f"stopped: {stopped}")
            return failed, True
    return failed, False


def _is_news(cell: cells_lib.Cell) -> bool:
    """Whether a line says that it has finished: where no bar does, and not of many at once."""
    return cells_lib.trains_alone(cell) and not sys.stderr.isatty()


def _searched(
    spec: TableSpec,
    wanted: Sequence[tuple[str, str]],
    folder: pathlib.Path,
    progress: ProgressBar,
) -> tuple[list[cells_lib.Cell], dict[tuple[str, str], ParameterSearch]]:
    """The runs that a search takes, and what is known of its outcome after it, or in a plan now."""
    if not (_TUNE.value or spec.always_searched):
        return [], {}
    missing = tune.missing_cells(spec, wanted, folder)
    if missing:
        searched = {(spec.name, cell.row, cell.column) for cell in missing}
        _refuse_untuned(searched, folder / "results.jsonl")
        print(f"table {spec.name}: {len(missing)} runs to search parameters on validation")
    if _DRY_RUN.value:
        return missing, tune.found(spec, wanted, folder)
    if missing and _EXECUTOR.value == "slurm":
        raise ValueError(
            "--executor=slurm sends the cells of a table, whose parameters must be searched first: "
            "run python -m experiments.tune with the same table, rows, columns, scale, set and "
            "workdir"
        )
    at_once = table_flags.AT_ONCE.value
    return missing, tune.search(spec, wanted, folder, progress, at_once=at_once)


def _refuse_untuned(searched: set[tuple[str, str, str]], path: pathlib.Path) -> None:
    """Before a search takes its time: what it is for must not have been run without it."""
    for result in results_file.read(path) if path.exists() else []:
        if result.status == "ok" and result.key[:3] in searched:
            raise ValueError(
                f"{path} holds {result.row}, {result.column}, seed {result.seed}, which ran "
                "without this search; give the searched table another --workdir"
            )


if __name__ == "__main__":
    startup.run(main)
