"""Runs a table, cell by cell, and prints it next to the paper's.

    python -m experiments.reproduce --table=digits --workdir=DIR

Cells are appended to DIR/results.jsonl as they finish; the same command started again runs what is
missing. Parameters that a row leaves open are searched on a validation split, never on the test
set: always for digits, with --tune for the other tables.
"""

import contextlib
import pathlib
import sys
from collections.abc import Collection, Sequence

from absl import flags

from configs import overrides
from dm_jax import train
from dm_jax.train.stop_request import StopRequest
from experiments import commit, startup
from experiments.paper import Pair
from experiments.progress import ProgressBar
from experiments.reporting import report, terminal
from experiments.tables import cells as cells_lib
from experiments.tables import (
    cluster,
    estimate,
    record,
    results_file,
    search,
    table_flags,
    tuning_file,
    workers,
)
from experiments.tables.cells import Cell
from experiments.tables.outcome import StoppedError
from experiments.tables.spec import TableSpec
from experiments.tables.tuning_file import ParameterSearch
from experiments.text import count

_TUNE = flags.DEFINE_bool("tune", False, "Search the parameters of methods that have a grid.")
_DRY_RUN = flags.DEFINE_bool("dry_run", False, "Only print what would run, and how long.")
_EXECUTOR = flags.DEFINE_enum(
    "executor", "local", ["local", "slurm"], "Run here, or as one cluster job per cell."
)

_MINUTES = flags.DEFINE_integer("minutes", 24 * 60, "Time limit of a cluster job.", lower_bound=1)
_SLURM = flags.DEFINE_list("slurm", [], "Options of sbatch, such as 'partition=gpu,requeue=true'.")

SEEDS = flags.DEFINE_integer("seeds", 5, "Runs per cell, with seeds 1, 2, ...", lower_bound=1)
flags.adopt_module_key_flags(table_flags)


def main() -> None:
    """Runs and reports the table; exits with 1 if a cell failed."""
    failed = reproduce(table_flags.workdir())
    if failed:
        what = "runs that cannot start" if _DRY_RUN.value else "runs that failed"
        sys.exit(f"{what}: {failed}; see the errors above")


def reproduce(folder: pathlib.Path) -> int:
    """Runs the table that the flags choose; returns how many runs failed or could not start."""
    _check_flags()
    if table_flags.AT_ONCE.value > 1:
        workers.share_devices()  # the checks of custom schemes compute with JAX
    commit.of_code()  # cached before the cells train
    spec, path = table_flags.spec(), folder / "results.jsonl"
    wanted, progress = table_flags.pairs(spec), ProgressBar(quiet=True)
    open_pairs = _pairs_to_search(spec, wanted)
    _check_before_a_search(spec, wanted, open_pairs, folder)
    try:
        with StopRequest() as stop_requested:
            to_search, searches = _searched(spec, open_pairs, folder, progress)
        if stop_requested():
            raise StoppedError("the search is finished, no cell was started")
    except StoppedError as stopped:
        print(f"stopped: {stopped}")
        return 0
    _note_unused(search.finished(spec, wanted, folder).keys() - set(open_pairs))
    lost = [pair for pair in open_pairs if pair not in searches]
    parameters = {pair: found.chosen for pair, found in searches.items()}
    if _DRY_RUN.value:  # any candidate costs as much as the one that will be chosen
        parameters |= {pair: search.candidates(spec.grid(*pair))[0] for pair in lost}
        lost = []
    pairs = [pair for pair in wanted if pair not in lost]
    cells = cells_lib.of_table(spec, pairs, parameters, seeds=_seeds())
    todo = cells_lib.missing(path, cells)
    runs, done = count(len(cells), "run"), len(cells) - len(todo)
    print(f"table {spec.name}: {runs}, {done} of them done", flush=True)
    if _DRY_RUN.value:
        return _print_plan([*to_search, *todo])
    if _EXECUTOR.value == "slurm" and todo:
        _submit(todo, folder)
        return len(lost) * SEEDS.value
    failed, unfinished = _run(todo, folder, progress)
    if not unfinished and path.exists():
        _write_report(spec, folder)
    return failed + len(lost) * SEEDS.value


def _check_flags() -> None:
    """Raises ValueError if a flag is for the other executor."""
    given = flags.FLAGS["slurm"].present or flags.FLAGS["minutes"].present
    if _EXECUTOR.value == "local" and given:
        raise ValueError("--slurm and --minutes require --executor=slurm")
    if _EXECUTOR.value == "slurm" and table_flags.AT_ONCE.value > 1:
        raise ValueError("--at_once requires --executor=local; a cluster runs one job per cell")


def _print_plan(cells: Sequence[Cell]) -> int:
    """Prints what would run; returns how many cells cannot."""
    if cells:
        print("measuring a few steps of each kind of run ...", flush=True)
    text, failed = estimate.describe(cells)
    print(text)
    return failed


def _submit(todo: Sequence[Cell], folder: pathlib.Path) -> None:
    """Submits cells to the cluster."""
    pairs = [overrides.parse_pair(text, "--slurm") for text in _SLURM.value]
    options = dict(pairs)
    if len(options) < len(pairs):
        raise ValueError(f"--slurm gives an option twice, got {','.join(_SLURM.value)}")
    jobs = cluster.submit(todo, folder.resolve(), minutes=_MINUTES.value, options=options)
    waiting = len(todo) - len(jobs)
    print(f"{count(len(jobs), 'job')} submitted, {waiting} already pending or running")
    print("run the same command again later to submit what is missing")


def _write_report(spec: TableSpec, folder: pathlib.Path) -> None:
    """Reports all results of the folder, and prints this table."""
    results = results_file.read(folder / "results.jsonl")
    names = {result.table for result in results}
    known = tuning_file.read(folder).values()
    page = report.write(results, folder, searches=known, only=names)
    print(terminal.table(results, spec.name))
    print(f"full report, with curves and provenance: {page}")


def _run(todo: Sequence[Cell], folder: pathlib.Path, progress: ProgressBar) -> tuple[int, bool]:
    """Runs cells and appends results; returns how many failed, and whether a stop came first."""
    failed, reasons, at_once = 0, set(), table_flags.AT_ONCE.value
    runs = workers.run_all(todo, folder / "runs", progress, at_once=at_once)
    with contextlib.closing(runs):
        try:
            for cell, summary in runs:
                if isinstance(summary, train.WorkdirInUseError):
                    print(f"{cell.name} left out: {summary}")
                    continue
                result = record.result(cell, summary)
                results_file.append(folder / "results.jsonl", result)
                failed += result.status == "failed"
                if result.error and result.error not in reasons:
                    reasons.add(result.error)
                    print(f"{cell.name} failed: {result.error}")
                elif not result.error and (at_once > 1 or _prints_a_line(cell)):
                    print(f"{cell.name}: {result.final:.1f}", flush=True)
        except StoppedError as stopped:
            print(f"stopped: {stopped}")
            return failed, True
    return failed, False


def _prints_a_line(cell: Cell) -> bool:
    """Whether a finished cell gets a line: if there is no bar and it trained alone."""
    return cell.trains_alone and not sys.stderr.isatty()


def _seeds() -> range:
    return range(1, SEEDS.value + 1)


def _pairs_to_search(spec: TableSpec, wanted: Sequence[Pair]) -> list[Pair]:
    """The pairs whose grids this command searches.

    Raises:
      ValueError: --tune has nothing to search, or a --grid would not be searched.
    """
    if not (_TUNE.value or spec.always_searched):
        if table_flags.GRID.value:
            raise ValueError("--grid requires --tune")
        return []
    found = [pair for pair in wanted if spec.grid(*pair)]
    if _TUNE.value and not found:
        raise ValueError(
            f"--tune: table {spec.name} has nothing to search in these rows and columns"
        )
    return found


def _note_unused(found: Collection[Pair]) -> None:
    """Says which searches of this table are at hand and not used."""
    if found:
        cells = ", ".join(f"{row} at {column}" for row, column in sorted(found))
        print(f"not used, as --tune is not given: the parameters searched for {cells}")


def _check_before_a_search(
    spec: TableSpec, wanted: Sequence[Pair], open_pairs: Sequence[Pair], folder: pathlib.Path
) -> None:
    """Raises what would otherwise be raised after a search that takes hours.

    Raises:
      ValueError: as `search.check`.
      OSError: nothing can be appended to the results file.
    """
    path = folder / "results.jsonl"
    searches = search.finished(spec, open_pairs, folder)
    known = [pair for pair in wanted if pair in searches or pair not in open_pairs]
    parameters = {pair: found.chosen for pair, found in searches.items()}
    cells = cells_lib.of_table(spec, known, parameters, seeds=_seeds())
    if path.exists() and not _DRY_RUN.value:
        path.open("ab").close()
    here = _EXECUTOR.value == "local"
    search.check(spec, open_pairs, folder, cells=cells, compare_data=here)


def _searched(
    spec: TableSpec, open_pairs: Sequence[Pair], folder: pathlib.Path, progress: ProgressBar
) -> tuple[list[Cell], dict[Pair, ParameterSearch]]:
    """The runs that a search takes, and the finished searches (in a dry run, those so far)."""
    missing = search.missing_candidates(spec, open_pairs, folder)
    if missing:
        runs = count(len(missing), "run")
        print(f"table {spec.name}: {runs} to search parameters on validation")
    if missing and _EXECUTOR.value == "slurm":
        raise ValueError(
            "--executor=slurm requires searched parameters: first run python -m experiments.tune "
            "with the same table, rows, columns, scale, set, method, grid and workdir"
        )
    if _DRY_RUN.value:
        return missing, search.finished(spec, open_pairs, folder)
    at_once = table_flags.AT_ONCE.value
    return missing, search.run(spec, open_pairs, folder, progress, at_once=at_once)


if __name__ == "__main__":
    startup.run(main)
