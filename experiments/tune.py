"""Chooses the parameters of a row on a validation split, never on the test set.

Train on 80% of the corrupted training data, validate on the other 20% with clean labels (the
protocol of the paper), take the parameters with the best accuracy at the end; the table then
trains on everything. What was tried is kept in tuning.json.

    python -m experiments.tune --table=digits --rows=DM --columns=sym_0.4 --workdir=DIR
"""

import dataclasses
import itertools
import json
import math
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app

from dm_jax import train
from dm_jax.train import workdir
from experiments import cells as cells_lib
from experiments import startup, table_flags, tables
from experiments.progress import Progress

FRACTION = 0.2
Parameters = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class Search:
    """What was found for one row and column.

    Attributes:
      chosen: the parameters that are best by `validation`.
      tried: (parameters, mean validation accuracy in percent at the end) of every candidate.
      seeds: of the runs that are averaged.
    """

    chosen: Parameters
    tried: list[tuple[Parameters, float]]
    seeds: list[int]


def candidates(grid: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """All combinations of a grid.

    >>> candidates({"lam": (0.5, 1.0), "beta": (8.0,)})
    [{'lam': 0.5, 'beta': 8.0}, {'lam': 1.0, 'beta': 8.0}]
    """
    return [dict(zip(grid, values, strict=True)) for values in itertools.product(*grid.values())]


def with_parameters(config: train.Config, parameters: Parameters) -> train.Config:
    """The config with other parameters of its EDF."""
    merged = {**config.loss.parameters, **parameters}
    return dataclasses.replace(config, loss=dataclasses.replace(config.loss, parameters=merged))


def search(
    spec: tables.Spec,
    wanted: Sequence[tuple[str, str]],
    folder: pathlib.Path,
    watcher: train.Watcher,
    *,
    seeds: Sequence[int],
) -> dict[tuple[str, str], Search]:
    """Searches the grid of every wanted (row, column) that has one.

    Args:
      spec: the table.
      wanted: (row, column) pairs.
      folder: where tuning.json is, or goes; what is in it is not searched again.
      watcher: of the runs.
      seeds: to average over.

    Raises:
      RuntimeError: a candidate could not be run.
    """
    path = folder / "tuning.json"
    known = _read(path)
    missing = [
        pair for pair in wanted if pair[0] in spec.grids and _name(spec, pair, seeds) not in known
    ]
    cells = [
        _candidate(spec, row, column, seed, parameters)
        for row, column in missing
        for parameters in candidates(spec.grids[row])
        for seed in seeds
    ]
    scores: dict[tuple[str, str, str], list[float]] = {}
    for cell, summary in cells_lib.run_all(cells, folder / "tuning", watcher):
        row = cell.row.split("|")[0]
        parameters = json.dumps({k: cell.config.loss.parameters[k] for k in spec.grids[row]})
        scores.setdefault((row, cell.column, parameters), []).append(_score(cell, summary))
    for pair in missing:
        tried = [
            (json.loads(text), math.fsum(values) / len(values))
            for (row, column, text), values in scores.items()
            if (row, column) == pair
        ]
        chosen = max(tried, key=lambda item: item[1])[0]
        known[_name(spec, pair, seeds)] = Search(chosen, tried, list(seeds))
    _write(path, known)
    return {pair: known[_name(spec, pair, seeds)] for pair in wanted if pair[0] in spec.grids}


def _score(cell: cells_lib.Cell, summary: train.Summary | Exception) -> float:
    """Validation accuracy in percent at the end; nothing is worse than to diverge."""
    if isinstance(summary, train.NonFiniteLossError):
        return 0.0
    if isinstance(summary, Exception):
        raise RuntimeError(f"{cell.key}: {summary}") from summary
    return 100 * summary.final("validation_accuracy")


def _candidate(
    spec: tables.Spec, row: str, column: str, seed: int, parameters: Parameters
) -> cells_lib.Cell:
    config = with_parameters(spec.cell(row, column, seed), parameters)
    held_out = dataclasses.replace(config.data, validation=FRACTION, test=False)
    config = dataclasses.replace(config, data=held_out)
    # The row tells the candidates' workdirs apart.
    return cells_lib.Cell(spec.name, f"{row}|{json.dumps(parameters)}", column, seed, config)


def _name(spec: tables.Spec, pair: tuple[str, str], seeds: Sequence[int]) -> str:
    """What a search is known by: the cell, and all that its outcome depends on."""
    row, column = pair
    probe = _candidate(spec, row, column, seeds[0], candidates(spec.grids[row])[0])
    grid = json.dumps([spec.grids[row], list(seeds)])
    return f"{spec.name} / {row} / {column} / {probe.config_hash} / {grid}"


def _read(path: pathlib.Path) -> dict[str, Search]:
    if not path.exists():
        return {}
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return {
        name: Search(s["chosen"], [(p, v) for p, v in s["tried"]], s["seeds"])
        for name, s in found.items()
    }


def _write(path: pathlib.Path, searches: Mapping[str, Search]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    plain = {name: dataclasses.asdict(found) for name, found in searches.items()}
    workdir.write_whole(path, json.dumps(plain, indent=1) + "\n")


def main(argv: list[str]) -> None:
    """Searches and prints what was chosen."""
    startup.prepare()
    folder = pathlib.Path(table_flags.WORKDIR.value or ".")
    seeds = range(1, table_flags.SEEDS.value + 1)
    try:
        spec = table_flags.spec()
        pairs = tables.select(spec, table_flags.ROWS.value, table_flags.COLUMNS.value)
        found = search(spec, pairs, folder, Progress(), seeds=seeds)
    except cells_lib.StoppedError as stopped:
        print(f"stopped: {stopped}. The same command goes on there")
        return
    except (ValueError, TypeError, OSError, RuntimeError) as error:
        sys.exit(f"error: {error}")
    for (row, column), result in found.items():
        best = max(score for _, score in result.tried)
        print(f"{row}, {column}: {dict(result.chosen)}, validation accuracy {best:.1f}%")


if __name__ == "__main__":
    app.run(main)
