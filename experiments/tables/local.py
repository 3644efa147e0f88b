"""Runs cells in this process, those that can train together as populations."""

import dataclasses
import functools
import pathlib
from collections.abc import Hashable, Iterator, Sequence

import jax

from dm_jax import train
from dm_jax.train import build, population
from dm_jax.train.stop_request import StopRequest
from experiments.tables.cells import Cell
from experiments.tables.outcome import Outcome, StoppedError
from experiments.text import count


def run_all(
    cells: Sequence[Cell], folder: pathlib.Path, progress: train.Progress
) -> Iterator[Outcome]:
    """Runs cells and yields each with its summary, or the error it failed with, as it finishes.

    Cells share a program where they can (`Cell.trains_alone`).

    Args:
      cells: the cells to run.
      folder: parent of the workdirs of single runs, which hold their checkpoints.
      progress: receives the progress.

    Raises:
      StoppedError: a stop was requested.
    """
    found, failures = groups(cells)
    yield from failures
    with StopRequest() as stop_requested:  # a stop may come when a run can no longer answer it
        for number, group in enumerate(found):
            if stop_requested():
                left = sum(map(len, found[number:]))
                raise StoppedError(f"{count(left, 'run')} not started")
            try:
                summaries = _run_group(group, folder, progress)
                yield from ((cell, s) for (cell, _), s in zip(group, summaries, strict=True))
            except StoppedError:
                raise
            except Exception as error:  # the rest still run
                yield from ((cell, error) for cell, _ in group)


Built = tuple[Cell, build.ArrayExperiment | build.StreamedExperiment]


def groups(cells: Sequence[Cell]) -> tuple[list[list[Built]], list[tuple[Cell, Exception]]]:
    """Builds the cells' experiments and groups those that train as one population.

    Returns:
      The groups, and the cells that cannot be built, with the error.
    """
    load = functools.cache(build.load)
    found: dict[Hashable, list[Built]] = {}
    failures: list[tuple[Cell, Exception]] = []
    for index, cell in enumerate(cells):
        wanted = cell.config.data
        try:
            experiment = build.experiment(cell.config, load(wanted.name, wanted.data_dir))
        except Exception as error:  # recorded as the cell's failure
            failures.append((cell, error))
            continue
        group: Hashable = index  # its own
        if isinstance(experiment, build.ArrayExperiment) and not cell.trains_alone:
            group = population.signature(experiment)
        found.setdefault(group, []).append((cell, experiment))
    return list(found.values()), failures


def members(group: Sequence[Built]) -> list[build.ArrayExperiment]:
    """The experiments of a population; none of them is streamed."""
    return [experiment for _, experiment in group if isinstance(experiment, build.ArrayExperiment)]


def _run_group(
    group: list[Built], folder: pathlib.Path, progress: train.Progress
) -> Sequence[train.Summary | Exception]:
    if len(group) > 1:
        summaries = population.train_population(members(group), progress=progress)
        if not summaries[0].finished:
            raise StoppedError(f"{len(group)} runs that train together start over next time")
        return [_if_finite(summary) for summary in summaries]
    cell = group[0][0]
    summary = train.run(use_all_devices(cell.config), folder / cell.folder_name, progress=progress)
    if not summary.finished:
        at = f"step {summary.step} of {summary.total}"
        raise StoppedError(f"{cell.name} will resume at {at}")
    return [summary]


def use_all_devices(config: train.Config) -> train.Config:
    """The config on the most devices that divide its batch, unless it sets their number."""
    if config.parallel.devices:
        return config
    size = config.train.batch_size
    devices = max(n for n in range(1, jax.device_count() + 1) if size % n == 0)
    return dataclasses.replace(
        config, parallel=dataclasses.replace(config.parallel, devices=devices)
    )


def _if_finite(summary: train.Summary) -> train.Summary | Exception:
    """The summary, or an error if the loss was not finite, which does not stop a member."""
    if summary.diverged_at is None:
        return summary
    return train.NonFiniteLossError(f"the loss was not finite by step {summary.diverged_at}")
