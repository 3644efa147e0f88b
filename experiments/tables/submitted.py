"""jobs/submitted.json: the last job that was sent to SLURM for each cell, and what became of it."""

import dataclasses
import datetime
import pathlib
import subprocess
from collections.abc import Collection, Mapping, Sequence

from dm_jax import files
from experiments.tables.result import Key

# SLURM lists a job seconds after it was submitted, or minutes on a busy cluster.
_TIME_TO_BE_LISTED = datetime.timedelta(minutes=10)
# SLURM states of jobs that may still deliver a result; a job that SLURM has forgotten will not.
_ON_ITS_WAY = ("PENDING", "CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED")


@dataclasses.dataclass(frozen=True)
class Sent:
    """The last job of a cell.

    Attributes:
      job: its id.
      key: of the cell's result.
      date: when it was sent, as `dm_jax.train.workdir.now` and results have it.
    """

    job: str
    key: Key
    date: str


def read(jobs: pathlib.Path) -> dict[str, Sent]:
    """The last jobs, by the names of their cells' folders; none if none was sent.

    Raises:
      ValueError: the file is damaged, or of another version.
    """
    path = jobs / "submitted.json"
    if not path.exists():
        return {}
    try:
        return {name: _sent(**fields) for name, fields in files.read_json(path).items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not hold jobs of this version ({error}); remove it once none of them is "
            "pending or running"
        ) from error


def _sent(*, job: str, key: Sequence, date: str) -> Sent:
    table, row, column, seed = key
    return Sent(job, (table, row, column, seed), date)


def write(jobs: pathlib.Path, sent: Mapping[str, Sent]) -> None:
    """Replaces the file."""
    fields = {name: dataclasses.asdict(one) for name, one in sent.items()}
    files.write_json(jobs / "submitted.json", fields)


def on_their_way(sent: Collection[Sent], jobs: pathlib.Path) -> set[str]:
    """Those of the jobs that may still deliver a result.

    Raises:
      RuntimeError: SLURM does not say.
    """
    import submitit

    if not sent:
        return set()
    # submitit itself takes a failure of sacct for jobs that have ended.
    try:
        command = ["sacct", f"--jobs={','.join(one.job for one in sent)}"]
        subprocess.run(command, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = (getattr(error, "stderr", "") or str(error)).strip()
        raise RuntimeError(
            f"sacct cannot say which jobs are pending or running: {reason}"
        ) from error
    # All created first, because submitit queries SLURM once for the jobs that exist by then.
    asked: list = [submitit.SlurmJob(jobs, one.job) for one in sent]
    states = [job.watcher.get_state(job.job_id) for job in asked]
    return {
        one.job
        for one, state in zip(sent, states, strict=True)
        if state in _ON_ITS_WAY or (state == "UNKNOWN" and _is_new(one))
    }


def _is_new(sent: Sent) -> bool:
    """Whether SLURM may not list the job yet."""
    age = datetime.datetime.now(datetime.UTC) - datetime.datetime.fromisoformat(sent.date)
    return age < _TIME_TO_BE_LISTED
