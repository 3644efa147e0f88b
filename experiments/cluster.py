"""Cells as jobs of a cluster, through submitit; every job appends its own results."""

import pathlib
import sys
from collections.abc import Mapping, Sequence

from experiments import cells as cells_lib
from experiments import results_file, startup
from experiments.progress import Progress


def submit(
    cells: Sequence[cells_lib.Cell],
    folder: pathlib.Path,
    *,
    minutes: int,
    cluster: str = "slurm",
    options: Mapping[str, str] | None = None,
) -> list:
    """Submits one job for each cell and returns at once.

    A job that is preempted or runs out of time goes on where its checkpoint stands when the same
    table is started again: only what is missing is submitted.

    Args:
      cells: to run.
      folder: on a disk that all nodes reach; results.jsonl, runs/ and the jobs' logs lie there.
      minutes: time limit of a job; one GPU each.
      cluster: "slurm", or "local" for processes of this machine.
      options: of SLURM, such as {"partition": "gpu"}.

    Raises:
      ModuleNotFoundError: submitit is not installed.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--executor=slurm sends cells with submitit: pip install 'dm_jax[slurm]'"
        ) from error
    executor = submitit.AutoExecutor(folder=folder / "jobs", cluster=cluster)
    named = {f"slurm_{name}": value for name, value in (options or {}).items()}
    executor.update_parameters(timeout_min=minutes, gpus_per_node=1, name="dm_jax", **named)
    with executor.batch():
        return [executor.submit(run_one, cell, folder, sys.argv[1:]) for cell in cells]


def run_one(cell: cells_lib.Cell, folder: pathlib.Path, arguments: list[str]) -> str:
    """Runs a cell in its job and appends the result; returns its status."""
    startup.prepare()
    sys.argv[1:] = arguments  # which the result names as its command
    status = ""
    for done, summary in cells_lib.run_all([cell], folder / "runs", Progress(quiet=True)):
        result = cells_lib.result(done, summary)
        results_file.append(folder / "results.jsonl", result)
        status = result.status
    return status
