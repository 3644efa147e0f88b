"""The search for a method's parameters on a validation split, never on the test set.

Candidates train on 80% of the corrupted training data and are validated on the other 20% with clean
labels (the paper's protocol); the one with the best final accuracy is chosen. All candidates are
recorded in tuning.json.
"""

import contextlib
import dataclasses
import itertools
import json
import pathlib
import statistics
import warnings
from collections.abc import Generator, Mapping, Sequence

from configs import overrides
from dm_jax import train
from experiments.paper import Pair
from experiments.tables import cells as cells_lib
from experiments.tables import results_file, same_data, tuning_file, workers
from experiments.tables.cells import Cell
from experiments.tables.outcome import Outcome, error_text
from experiments.tables.result import Result
from experiments.tables.spec import TableSpec
from experiments.tables.tuning_file import Parameters, ParameterSearch

VALIDATION_FRACTION = 0.2
# Averaged over. Few, as each costs a grid of runs; fixed, so that finished searches stay valid.
SEARCH_SEEDS = (1, 2)


def candidates(grid: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """All combinations of a grid.

    >>> candidates({"lam": (0.5, 1.0), "beta": (8.0,)})
    [{'lam': 0.5, 'beta': 8.0}, {'lam': 1.0, 'beta': 8.0}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def run(
    spec: TableSpec,
    wanted: Sequence[Pair],
    folder: pathlib.Path,
    progress: train.Progress,
    *,
    at_once: int = 1,
) -> dict[Pair, ParameterSearch]:
    """Searches the grid of every wanted (row, column) that has one.

    Args:
      spec: the table.
      wanted: (row, column) pairs; those without a grid are skipped.
      folder: folder of tuning.json; searches already in it are not repeated.
      progress: receives the progress of the runs.
      at_once: number of runs that train at the same time.

    Returns:
      The finished searches; if a candidate could not be run, its pair is left out with a warning.
    """
    tried: dict[Pair, dict[tuple[float, ...], _Candidate]] = {}
    failed: dict[Pair, str] = {}
    cells = missing_candidates(spec, wanted, folder)
    runs = _run_all(cells, folder / "tuning", progress, at_once)
    with contextlib.closing(runs):
        for cell, summary in runs:
            pair, grid = (cell.row, cell.column), spec.grid(cell.row, cell.column)
            parameters = {name: cell.config.loss.parameters[name] for name in grid}
            of_pair = tried.setdefault(pair, {})
            candidate = of_pair.setdefault(tuple(parameters.values()), _Candidate())
            name = f"{cell.row}, {cell.column}, {json.dumps(parameters)}, seed {cell.seed}"
            if isinstance(summary, train.Summary):
                candidate.summary = summary
            try:
                candidate.scores.append(_score(summary))
                if at_once > 1:  # there is no progress bar
                    print(f"{name}: {candidate.scores[-1]:.1f} on validation", flush=True)
            except RuntimeError as error:  # the rest still run
                failed[pair] = f"{name}: {error}"
            runs_ended = sum(len(candidate.scores) for candidate in of_pair.values())
            if runs_ended == len(SEARCH_SEEDS) * len(candidates(grid)):
                tuning_file.add(folder, _name(spec, pair), _outcome(spec, pair, of_pair))
    for message in failed.values():
        warnings.warn(f"the search did not finish: {message}", stacklevel=2)
    return finished(spec, wanted, folder)


def _run_all(
    cells: Sequence[Cell], folder: pathlib.Path, progress: train.Progress, at_once: int
) -> Generator[Outcome, None, None]:
    """As `workers.run_all`; what another process trains is read from its workdir afterwards.

    What it still trains then comes last, with its `train.WorkdirInUseError`.
    """
    while cells:
        in_use: list[Outcome] = []
        with contextlib.closing(workers.run_all(cells, folder, progress, at_once=at_once)) as runs:
            for cell, summary in runs:
                if isinstance(summary, train.WorkdirInUseError):
                    in_use.append((cell, summary))
                else:
                    yield cell, summary
        if len(in_use) == len(cells):
            yield from in_use
            return
        cells = [cell for cell, _ in in_use]


@dataclasses.dataclass
class _Candidate:
    """The scores of a candidate's seeds, and the summary of one that did not fail."""

    scores: list[float] = dataclasses.field(default_factory=list)
    summary: train.Summary | None = None


def _outcome(
    spec: TableSpec, pair: Pair, tried: Mapping[tuple[float, ...], _Candidate]
) -> ParameterSearch:
    """The finished search, of candidates by the values of their parameters.

    Ties go to the first in the grid, in whatever order the runs ended.
    """
    ranked = [
        (parameters, statistics.fmean(tried[tuple(parameters.values())].scores))
        for parameters in candidates(spec.grid(*pair))
    ]
    chosen = max(ranked, key=lambda candidate: candidate[1])[0]
    of_chosen = tried[tuple(chosen.values())].summary
    return ParameterSearch(
        spec.name,
        *pair,
        chosen,
        ranked,
        list(SEARCH_SEEDS),
        spec.scale,
        spec.changes,
        data=of_chosen.data if of_chosen else "",
        weight_profile=of_chosen.weight_profile if of_chosen else [],
    )


def finished(
    spec: TableSpec, wanted: Sequence[Pair], folder: pathlib.Path
) -> dict[Pair, ParameterSearch]:
    """The finished searches of the wanted pairs."""
    names = {pair: _name(spec, pair) for pair in wanted if spec.grid(*pair)}
    known = tuning_file.read(folder) if names else {}
    return {pair: known[name] for pair, name in names.items() if name in known}


def missing_candidates(spec: TableSpec, wanted: Sequence[Pair], folder: pathlib.Path) -> list[Cell]:
    """The runs that `run` still needs.

    Raises:
      ValueError: the table's changes set a parameter that is searched.
    """
    for row, column in wanted:
        for name in spec.grid(row, column):
            if f"loss.{name}" in overrides.parse(spec.changes):
                raise ValueError(f"--set={name}: it is searched for {row} at {column}")
    done = finished(spec, wanted, folder)
    return [
        _candidate(spec, row, column, seed, parameters)
        for row, column in wanted
        if spec.grid(row, column) and (row, column) not in done
        for parameters in candidates(spec.grid(row, column))
        for seed in SEARCH_SEEDS
    ]


def _score(summary: train.Summary | Exception) -> float:
    """Final validation accuracy in percent; 0 if the run diverged.

    Raises:
      RuntimeError: the run failed in another way.
    """
    if isinstance(summary, train.NonFiniteLossError):
        return 0.0
    if isinstance(summary, Exception):
        raise RuntimeError(error_text(summary)) from summary
    return 100 * summary.final("validation_accuracy_given")


def _candidate(spec: TableSpec, row: str, column: str, seed: int, parameters: Parameters) -> Cell:
    config = cells_lib.with_parameters(spec.cell_config(row, column, seed), parameters)
    held_out = dataclasses.replace(config.data, validation=VALIDATION_FRACTION, test=False)
    config = dataclasses.replace(config, data=held_out)
    return Cell(spec.name, row, column, seed, config)


def _name(spec: TableSpec, pair: Pair) -> str:
    """The name of a search: the cell, and all that its outcome depends on."""
    row, column = pair
    grid = json.dumps([spec.grid(row, column), list(SEARCH_SEEDS)])
    config_hash = _first_candidate(spec, pair).config_hash
    return f"{spec.name} / {row} / {column} / {config_hash} / {grid}"


def _first_candidate(spec: TableSpec, pair: Pair) -> Cell:
    return _candidate(spec, *pair, SEARCH_SEEDS[0], candidates(spec.grid(*pair))[0])


def check(
    spec: TableSpec,
    wanted: Sequence[Pair],
    folder: pathlib.Path,
    *,
    cells: Sequence[Cell] = (),
    compare_data: bool = True,
) -> None:
    """Raises what would otherwise be raised after a search that takes hours.

    Args:
      spec, wanted, folder: as for `run`; the folder's results are in results.jsonl.
      cells: those whose parameters are known and that train after the search.
      compare_data: whether the data of earlier searches and results are compared with those here.

    Raises:
      ValueError: a cell's config or a candidate is invalid, a pair still to search has results
        without this search, or results or searches are of another config, other data or a changed
        scheme.
    """
    path = folder / "results.jsonl"
    candidates_left = missing_candidates(spec, wanted, folder)
    todo = [*cells_lib.missing(path, cells), *candidates_left]
    cells_lib.check_parts(todo)
    results = results_file.read_if_there(path)
    _refuse_untuned(candidates_left, results, path)
    probes = [_first_candidate(spec, pair) for pair in wanted if spec.grid(*pair)]
    searches = finished(spec, wanted, folder).values()
    same_data.check_schemes([*cells, *probes], results, searches)
    if compare_data:
        same_data.check(same_data.at_hand([*cells, *probes], todo), results, searches)


def _refuse_untuned(cells: Sequence[Cell], results: Sequence[Result], path: pathlib.Path) -> None:
    """Raises ValueError if a cell to search has run without this search."""
    pairs = {(cell.table, cell.row, cell.column) for cell in cells}
    for result in results:
        if result.status == "ok" and result.key[:3] in pairs:
            raise ValueError(
                f"{path} holds {result.row}, {result.column}, seed {result.seed}, which ran "
                "without a search, or with another one (its grid differs, say); use another "
                "--workdir for this search"
            )
