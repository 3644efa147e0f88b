"""Runs cells as cluster jobs through submitit; each job appends its own result."""

import pathlib
import re
import signal
import sys
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from dm_jax import files, train
from dm_jax.train import workdir
from experiments import commit, startup
from experiments.progress import ProgressBar
from experiments.tables import local, record, results_file, same_data, submitted, tuning_file
from experiments.tables.cells import Cell
from experiments.tables.outcome import Outcome, StoppedError
from experiments.tables.result import Result
from experiments.tables.submitted import Sent
from experiments.tables.tuning_file import ParameterSearch

# Options that stopping, resuming and the logs of jobs depend on.
_OWN = ("array", "error", "open_mode", "output", "signal")
# Options that submitit takes as a bool or as a list.
_SWITCHES, _LISTS = ("use_srun", "stderr_to_stdout"), ("setup", "teardown", "srun_args")


def submit(
    cells: Sequence[Cell],
    folder: pathlib.Path,
    *,
    minutes: int,
    cluster: str = "slurm",
    options: Mapping[str, str] | None = None,
) -> list:
    """Submits one job per cell, except cells with a job pending or running, and returns at once.

    Starting the same table again submits only what is missing; a cell whose job was preempted or
    timed out resumes from its checkpoint. Warns of cells that are sent again and how their last job
    ended. jobs/submitted.json records the job of each cell.

    Args:
      cells: the cells to run.
      folder: on a disk that all nodes share; holds results.jsonl, runs/ and the jobs' logs.
      minutes: time limit of a job; each gets one GPU.
      cluster: "slurm", or "local" for a first submission to processes on this machine.
      options: sbatch options, such as {"partition": "gpu"}; "true" for one without a value.

    Returns:
      The new jobs.

    Raises:
      ModuleNotFoundError: submitit is not installed.
      ValueError: an option has an invalid value or is not for users to set, or a job trains one of
        the cells with another config.
      RuntimeError: this machine is not part of such a cluster, or the cluster refused the jobs,
        or does not say which earlier ones are pending or running.
    """
    try:
        import submitit
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "--executor=slurm needs submitit: pip install 'dm_jax[slurm]'"
        ) from error
    executor = submitit.AutoExecutor(folder=folder / "jobs", cluster=cluster)
    # SLURM writes its options with dashes, submitit with underscores.
    named = {name.replace("-", "_"): text for name, text in (options or {}).items()}
    for name in ("time", "timeout_min"):
        if name in named:
            raise ValueError(f"--slurm: the time limit of a job is --minutes, got {name}")
    for name in _OWN:
        if name in named:
            raise ValueError(f"--slurm: {name} is set by dm_jax")
    executor.update_parameters(timeout_min=minutes, gpus_per_node=1, name="dm_jax")
    others = {}  # for sbatch to judge, such as requeue
    for name, text in named.items():
        value = _typed(name, text)
        try:
            executor.update_parameters(**{f"slurm_{name}": value})
        except NameError:  # submitit does not know it
            others[name] = text == "true" or text
        except ValueError as error:
            raise ValueError(f"--slurm: {name}: {error}") from error
    executor.update_parameters(slurm_additional_parameters=others)
    (folder / "jobs").mkdir(parents=True, exist_ok=True)
    with files.locked(folder / "jobs" / "lock"):  # the same command may run twice at once
        return _submit_missing(executor, cells, folder)


def _typed(name: str, text: str) -> Any:
    """The value of an option in the type that submitit computes with; most are text."""
    if name in _SWITCHES:
        if text not in ("true", "false"):
            raise ValueError(f"--slurm: {name} must be true or false, got {text!r}")
        return text == "true"
    if name in _LISTS:
        return [text]
    if name == "additional_parameters":
        raise ValueError(f"--slurm: {name} is a dict, which this flag cannot hold")
    if name == "exclusive":  # it may be "user", too
        return {"true": True, "false": None}.get(text, text)
    return int(text) if re.fullmatch(r"0|[1-9]\d*", text) else text  # not an account of 0012


def _submit_missing(executor: Any, cells: Sequence[Cell], folder: pathlib.Path) -> list:
    """Submits the cells without a job on its way; returns the new jobs."""
    known = submitted.read(folder / "jobs")
    wanted = {cell.folder_name: cell for cell in cells}
    keys = {cell.key for cell in cells}
    of_these = {name: sent for name, sent in known.items() if sent.key in keys}
    waiting = submitted.on_their_way(of_these.values(), folder / "jobs")
    for name, sent in of_these.items():
        if sent.job in waiting and name not in wanted:
            _, row, column, seed = sent.key
            raise ValueError(
                f"job {sent.job} trains {row}, {column}, seed {seed} with another config for "
                f"{folder}; use another --workdir for this one, or cancel the job"
            )
    # Read after SLURM was asked: a job may have ended since the caller read them.
    results = results_file.read_if_there(folder / "results.jsonl")
    done = {(result.key, result.config_hash) for result in results if result.status == "ok"}
    todo = {
        name: cell
        for name, cell in wanted.items()
        if (cell.key, cell.config_hash) not in done
        and (name not in known or known[name].job not in waiting)
    }
    if not todo:
        return []
    date = workdir.now()
    with executor.batch():
        jobs = [executor.submit(_Job(), cell, folder, sys.argv[1:]) for cell in todo.values()]
    new = {
        name: Sent(job.job_id, cell.key, date)
        for (name, cell), job in zip(todo.items(), jobs, strict=True)
    }
    submitted.write(folder / "jobs", known | new)
    lost = [(cell, known[name]) for name, cell in todo.items() if name in known]
    _warn_of_lost(lost, results, folder)
    return jobs


def _warn_of_lost(
    sent_again: Iterable[tuple[Cell, Sent]], results: Iterable[Result], folder: pathlib.Path
) -> None:
    """Warns of cells whose last job ended without a good result, once for each reason."""
    failures = {(r.key, r.config_hash): r for r in results if r.status == "failed"}
    lost: dict[str, list[tuple[Cell, str]]] = {}
    for cell, sent in sent_again:
        failure = failures.get((cell.key, cell.config_hash))
        since = failure is not None and failure.date >= sent.date
        reason = f"failed: {failure.error}" if failure and since else "wrote no result"
        lost.setdefault(reason, []).append((cell, sent.job))
    for reason, ((cell, job), *others) in lost.items():
        name = f"{cell.name} (and {len(others)} more)" if others else cell.name
        log = folder / "jobs" / f"{job}_0_log.*"
        warnings.warn(f"{name}: sent again, as the last job {reason}; see {log}", stacklevel=2)


class _Job:
    """`run_one` as a job that saves a checkpoint and is queued again when its time is up."""

    def __call__(self, cell: Cell, folder: pathlib.Path, arguments: list[str]) -> str:
        """Runs the cell; submitit's handler of the signal waits until the training has stopped.

        Within the training, whatever the handler raises would become the cell's failure.
        """
        import submitit

        number = signal.Signals[f"SIG{submitit.JobEnvironment.USR_SIG}"]
        queue_again: Any = signal.getsignal(number)
        idle = signal.getsignal(signal.SIGTERM)
        time_is_up = False  # not an Event, see `StopRequest`

        def stop(*_: Any) -> None:
            """Passes the signal on as the one that stops a training."""
            nonlocal time_is_up
            time_is_up = True
            if signal.getsignal(signal.SIGTERM) == idle:  # not training: there is nothing to save
                sys.exit()
            signal.raise_signal(signal.SIGTERM)

        signal.signal(number, stop)
        try:
            return run_one(cell, folder, arguments)
        except (StoppedError, SystemExit):
            if time_is_up:
                queue_again(number, None)
            raise

    def checkpoint(self, *arguments: Any) -> Any:
        """What submitit puts into the queue, shortly before the time limit or on preemption."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, *arguments)


def _run(cell: Cell, folder: pathlib.Path) -> Iterable[Outcome]:
    """Runs the cell, unless its data are other than those of the results or its search."""
    path = folder / "results.jsonl"
    results = results_file.read_if_there(path)
    known = tuning_file.read(folder).values()
    searches = [search for search in known if _follows(cell, search)]
    try:
        same_data.check([cell], results, searches)
        same_data.check_schemes([cell], results, searches)
    except ValueError as error:
        return [(cell, error)]
    return local.run_all([cell], folder / "runs", ProgressBar(quiet=True))


def _follows(cell: Cell, search: ParameterSearch) -> bool:
    """Whether a search may have chosen the cell's parameters: it is of its table and protocol."""
    parameters = dict(cell.config.loss.parameters)
    protocol = (search.table, search.scale, search.changes)
    same = protocol == (cell.table, cell.scale, cell.changes)
    return same and parameters | dict(search.chosen) == parameters


def run_one(cell: Cell, folder: pathlib.Path, arguments: list[str]) -> str:
    """Runs a cell inside its job and appends the result; returns the result's status.

    A cell that another process trains is left out; one whose data are not those of the results so
    far fails.

    Raises:
      StoppedError: a stop was requested; nothing is appended.
    """
    startup.prepare()
    commit.of_code()  # cached before the cell trains
    sys.argv[1:] = arguments  # recorded in the result as its command
    status = "left out"
    for done, summary in _run(cell, folder):
        if isinstance(summary, train.WorkdirInUseError):
            continue
        result = record.result(done, summary)
        results_file.append(folder / "results.jsonl", result)
        status = result.status
    return status
