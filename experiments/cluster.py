"""Cells as jobs of a cluster, through submitit; every job appends its own results."""

import json
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

from dm_jax import files
from experiments import cells as cells_lib
from experiments import record, results_file, startup
from experiments.progress import ProgressBar

# States of SLURM in which a job may still give its result; one that SLURM has forgotten will not.
_ON_ITS_WAY = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED")


def submit(
    cells: Sequence[cells_lib.Cell],
    folder: pathlib.Path,
    *,
    minutes: int,
    cluster: str = "slurm",
    options: Mapping[str, str] | None = None,
) -> list:
    """Submits one job for each cell that has none on its way, and returns at once.

    A job that is preempted or runs out of time goes on where its checkpoint stands when the same
    table is started again: only what is missing is submitted. jobs/submitted.json keeps which job
    is whose.

    Args:
      cells: to run.
      folder: on a disk that all nodes reach; results.jsonl, runs/ and the jobs' logs lie there.
      minutes: time limit of a job; one GPU each.
      cluster: "slurm", or "local" for processes of this machine.
      options: of SLURM, such as {"partition": "gpu"}.

    Returns:
      The new jobs.

    Raises:
      ModuleNotFoundError: submitit is not installed.
      ValueError: an option that submitit does not know.
      RuntimeError: this is no node of such a cluster, or it refused the jobs.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--executor=slurm sends cells with submitit: pip install 'dm_jax[slurm]'"
        ) from error
    executor = submitit.AutoExecutor(folder=folder / "jobs", cluster=cluster)
    # SLURM writes its options with dashes, submitit with underscores.
    named = {f"slurm_{k.replace('-', '_')}": value for k, value in (options or {}).items()}
    try:
        executor.update_parameters(timeout_min=minutes, gpus_per_node=1, name="dm_jax", **named)
    except NameError as error:  # submitit's for an option that it does not know
        raise ValueError(f"--slurm: {error}") from error
    submitted = folder / "jobs" / "submitted.json"
    known = json.loads(submitted.read_text()) if submitted.exists() else {}
    names = [cells_lib.folder_name(cell) for cell in cells]
    waiting = _on_their_way((known[name] for name in names if name in known), folder)
    todo = {
        name: cell
        for name, cell in zip(names, cells, strict=True)
        if known.get(name) not in waiting
    }
    if not todo:
        return []
    with executor.batch():
        jobs = [executor.submit(run_one, cell, folder, sys.argv[1:]) for cell in todo.values()]
    ids = {name: job.job_id for name, job in zip(todo, jobs, strict=True)}
    files.write_text(submitted, json.dumps(known | ids, indent=1) + "\n")
    return jobs


def _on_their_way(ids: Iterable[str], folder: pathlib.Path) -> set[str]:
    """Those of the jobs that SLURM still has to run or to end."""
    import submitit

    # All of them first: SLURM is asked once for those that exist by then.
    jobs: list = [submitit.SlurmJob(folder / "jobs", job_id) for job_id in ids]
    return {job.job_id for job in jobs if job.watcher.get_state(job.job_id) in _ON_ITS_WAY}


def run_one(cell: cells_lib.Cell, folder: pathlib.Path, arguments: list[str]) -> str:
    """Runs a cell in its job and appends the result; returns its status."""
    startup.prepare()
    record.commit()  # as it is now, not once the cell has trained
    sys.argv[1:] = arguments  # which the result names as its command
    status = ""
    for done, summary in cells_lib.run_all([cell], folder / "runs", ProgressBar(quiet=True)):
        result = record.result(done, summary)
        results_file.append(folder / "results.jsonl", result)
        status = result.status
    return status
