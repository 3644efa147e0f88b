"""Cells of a table: their configs, how they run, and the result that each leaves."""

import dataclasses
import functools
import json
import math
import pathlib
import shlex
import subprocess
import sys
from collections.abc import Callable, Hashable, Iterator, Sequence

import jax

from dm_jax import train
from dm_jax.train import build, population, workdir
from experiments import tables
from experiments.results_file import Result, hash_config

# Fewer decimals than float32 has, more than anybody reads.
_DIGITS = 6


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row, column and seed of a table, and the config it runs with."""

    table: str
    row: str
    column: str
    seed: int
    config: train.Config
    scale: float = 1.0
    changes: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """The key of its result."""
        return self.table, self.row, self.column, self.seed

    @property
    def plain(self) -> dict:
        """The config as JSON gives it back, without where it ran and where its files lay."""
        config = json.loads(json.dumps(self.config.to_dict()))
        del config["parallel"]
        config["data"]["data_dir"] = ""
        config["model"]["pretrained"] = pathlib.Path(config["model"]["pretrained"]).name
        return config

    @property
    def config_hash(self) -> str:
        """Tells one config from another."""
        return hash_config(self.plain)


def run_all(
    cells: Sequence[Cell], folder: pathlib.Path, watcher: train.Watcher
) -> Iterator[tuple[Cell, train.Summary | Exception]]:
    """Runs cells and yields each with its summary, or with what it failed of, as it finishes.

    Cells that can be one program are a population, where that is faster: everywhere but for
    convolutions, which vmap turns into grouped ones.

    Args:
      cells: to run.
      folder: single runs keep their workdirs, and so their checkpoints, below it.
      watcher: is told of the progress.

    Raises:
      StoppedError: a stop was requested.
    """
    found, failures = groups(cells)
    yield from failures
    for group in found:
        try:
            summaries = _run_group(group, folder, watcher)
            yield from ((cell, s) for (cell, _), s in zip(group, summaries, strict=True))
        except StoppedError:
            raise
        except Exception as error:  # the rest go on
            yield from ((cell, error) for cell, _ in group)


class StoppedError(Exception):
    """A stop was requested; what has finished is written, the rest goes on at the next start."""


Built = tuple[Cell, build.Experiment | build.StreamedExperiment]


def groups(cells: Sequence[Cell]) -> tuple[list[list[Built]], list[tuple[Cell, Exception]]]:
    """The cells with their experiments, those that train as one population together.

    Returns:
      The groups, and the cells that cannot be built with the reason.
    """
    load = functools.cache(build.load)
    found: dict[Hashable, list[Built]] = {}
    failures: list[tuple[Cell, Exception]] = []
    for cell in cells:
        wanted = cell.config.data
        try:
            experiment = build.experiment(cell.config, load(wanted.name, wanted.data_dir))
        except Exception as error:  # recorded as the cell's
            failures.append((cell, error))
            continue
        name: Hashable = folder_name(cell)
        if isinstance(experiment, build.Experiment) and cell.config.model.name == "mlp":
            name = population.signature(experiment)
        found.setdefault(name, []).append((cell, experiment))
    return list(found.values()), failures


def _run_group(
    group: list[Built], folder: pathlib.Path, watcher: train.Watcher
) -> Sequence[train.Summary | Exception]:
    if len(group) > 1:
        members = [e for _, e in group if isinstance(e, build.Experiment)]
        summaries = population.train_population(members, watcher=watcher)
        if not summaries[0].finished:
            raise StoppedError(f"{len(group)} runs that train together start anew next time")
        return [_if_finite(summary) for summary in summaries]
    cell = group[0][0]
    summary = train.run(spread(cell.config), folder / folder_name(cell), watcher=watcher)
    if not summary.finished:
        at = f"step {summary.step} of {summary.total}"
        raise StoppedError(f"{cell.row}, {cell.column}, seed {cell.seed} goes on at {at} next time")
    return [summary]


def spread(config: train.Config) -> train.Config:
    """Over as many devices as the batch divides by, where the config leaves it open."""
    if config.parallel.devices or config.parallel.distributed:
        return config
    size = config.train.batch_size
    devices = max(n for n in range(1, jax.device_count() + 1) if size % n == 0)
    return dataclasses.replace(
        config, parallel=dataclasses.replace(config.parallel, devices=devices)
    )


def _if_finite(summary: train.Summary) -> train.Summary | Exception:
    """A member goes on where a single run stops: then its numbers are of a network of NaNs."""
    for row in summary.rows:
        if not math.isfinite(row.get("train_loss", 0.0)):
            return train.NonFiniteLossError(f"the loss was not finite by step {row['step']}")
    return summary


def folder_name(cell: Cell) -> str:
    """Of a cell's workdir. It holds the hash: with other settings a cell starts anew."""
    name = f"{cell.table}-{cell.row}-{cell.column}-{cell.seed}-{cell.config_hash}"
    return "".join(c if c.isalnum() or c in "-_.=+" else "_" for c in name)


def result(cell: Cell, summary: train.Summary | Exception) -> Result:
    """What is written of a cell; accuracies in percent. A failed one holds the error.

    `final` and `best` are the test accuracy, or what else the table shows.
    """
    if isinstance(summary, Exception):
        nan, text = float("nan"), f"{type(summary).__name__}: {summary}"
        return dataclasses.replace(_blank(cell), final=nan, best=nan, status="failed", error=text)
    measure = tables.spec(cell.table).measure
    metrics = {
        "train_corrupted": _percent(summary.final("fit_accuracy_given")),
        "train_intact": _percent(summary.final("fit_accuracy")),
        "validation": _percent(summary.final("validation_accuracy")),
        "actual_rate": _percent(summary.actual_rate),
        "CMC-1": _percent(summary.final("test_CMC-1")),
    }
    return dataclasses.replace(
        _blank(cell),
        final=_percent(summary.final(measure)),
        best=_percent(summary.best(measure)[0]),
        metrics={name: value for name, value in metrics.items() if value == value},
        curves=_curves(summary, measure),
        corruption=summary.corruption,
        device=summary.device,
        seconds=round(summary.seconds, 3),
    )


def _percent(fraction: float) -> float:
    return round(100 * fraction, _DIGITS)


_CURVES: dict[str, tuple[str, float]] = {
    "test_accuracy": ("test_accuracy", 100),
    "test_mAP": ("test_mAP", 100),
    "test_CMC-1": ("test_CMC-1", 100),
    "train_intact": ("train_accuracy", 100),
    "train_corrupted": ("train_accuracy_given", 100),
    "p_clean": ("train_p_clean", 1),
    "p_noisy": ("train_p_noisy", 1),
    "loss": ("train_loss", 1),
}


# Those that need to know which labels are wrong.
_OF_TRUE_LABELS = ("train_intact", "p_clean", "p_noisy")


def _curves(summary: train.Summary, measure: str) -> dict[str, list[float]]:
    """What was measured at every evaluation: the test, and the window of batches before it."""
    left_out = _OF_TRUE_LABELS if math.isnan(summary.actual_rate) else ()
    points = {
        name: dict(summary.curve(source))
        for name, (source, _) in _CURVES.items()
        if name not in left_out
    }
    steps = [step for step, _ in summary.curve(measure)]
    curves = {
        name: [round(_CURVES[name][1] * values[step], _DIGITS) for step in steps]
        for name, values in points.items()
        if all(step in values for step in steps)
    }
    return {"steps": [float(step) for step in steps], **curves} if steps else {}


def _blank(cell: Cell) -> Result:
    environment = workdir.environment()
    return Result(
        table=cell.table,
        row=cell.row,
        column=cell.column,
        seed=cell.seed,
        final=0.0,
        best=0.0,
        config=cell.plain,
        config_hash=cell.config_hash,
        versions=environment["versions"],
        device=environment["device"],
        date=environment["date"],
        command=shlex.join(["python", "-m", "experiments.reproduce", *sys.argv[1:]]),
        commit=commit(),
        scale=cell.scale,
        changes=cell.changes,
    )


@functools.cache
def commit() -> str:
    """The commit of the code, "+" behind it if the tree was changed; empty outside a checkout.

    That of the first call, which a command makes before it trains: what is committed meanwhile did
    not make the numbers.
    """
    here = pathlib.Path(__file__).parent
    run: Callable[..., subprocess.CompletedProcess] = subprocess.run
    try:
        said = run(
            ["git", "describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*"],
            cwd=here, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return ""
    return said.stdout.strip()
