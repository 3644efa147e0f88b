"""One run, from a config to a summary, which resumes from its workdir after being killed."""

import contextlib
import dataclasses
import pathlib
import threading
import time
from collections.abc import Callable, Iterator

import jax
from jax.sharding import Mesh

from dm_jax.data import Dataset, StreamedDataset
from dm_jax.train import agreement, build, parallel
from dm_jax.train import workdir as workdir_lib
from dm_jax.train.array_engine import ArrayEngine
from dm_jax.train.checkpoints import Checkpoints, Restored
from dm_jax.train.config import Config
from dm_jax.train.engine import Engine
from dm_jax.train.loop import fit
from dm_jax.train.plan import Plan
from dm_jax.train.progress import NoProgress, Progress
from dm_jax.train.recorder import Recorder
from dm_jax.train.state import State
from dm_jax.train.stop_request import StopRequest
from dm_jax.train.stream_engine import StreamEngine
from dm_jax.train.summary import Row, Summary
from dm_jax.train.writers import read_metrics

_running = threading.RLock()


def run(
    config: Config,
    workdir: pathlib.Path | str,
    *,
    dataset: Dataset | StreamedDataset | None = None,
    progress: Progress | None = None,
    allow_changes: bool = False,
) -> Summary:
    """Trains, or resumes from the workdir's newest checkpoint.

    On SIGTERM or Ctrl-C it saves a checkpoint and returns early. Writes config.json, network.json,
    environment.json, corruption.npz, metrics.jsonl, TensorBoard events and checkpoints to the
    workdir.

    Args:
      config: the run's config.
      workdir: folder of this run only; created if missing.
      dataset: the data set, in place of the one that `config.data.name` says, which is recorded but
        not used; to resume, pass the same again.
      progress: the progress display.
      allow_changes: whether the workdir's run may resume with another config.

    Returns:
      The results so far; `finished` if training reached its end.

    Raises:
      ValueError: a bad config, a workdir of a different run (see `workdir.check`), a length shorter
        than what its run has already trained, a damaged metrics.jsonl, or hosts with different
        configs, labels, data or schemes.
      OSError: the workdir or a checkpoint cannot be written, another process trains there, or the
        metrics.jsonl of a finished run lacks its end.
      NonFiniteLossError: with the step, the learning rate and the last good checkpoint.
      RuntimeError: another thread of this process trains.
    """
    build.check_parsed(config)
    with _one_training_per_process():
        # Before StopRequest, as JAX installs its own signal handler when it joins other hosts.
        parallel.initialize(config.parallel)
        with StopRequest() as stop_requested:
            folder = pathlib.Path(workdir).expanduser()
            return _run(
                config, dataset, folder, progress or NoProgress(), allow_changes, stop_requested
            )


@contextlib.contextmanager
def _one_training_per_process() -> Iterator[None]:
    """Raises RuntimeError if another thread trains: orbax cannot keep their checkpoints apart."""
    if not _running.acquire(blocking=False):
        raise RuntimeError(
            "another thread of this process trains; use one process for each run, or "
            "train_population"
        )
    try:
        yield
    finally:
        _running.release()


def _run(
    config: Config,
    dataset: Dataset | StreamedDataset | None,
    folder: pathlib.Path,
    progress: Progress,
    allow_changes: bool,
    stop_requested: Callable[[], bool],
) -> Summary:
    clock = _Clock()
    mesh = parallel.make_mesh(config.parallel)
    parallel.check_batch(mesh, config.train.batch_size)
    experiment = build.experiment(config, dataset)
    agreement.check(experiment)
    with workdir_lib.lock(folder):
        workdir_lib.check(folder, experiment, allow_changes=allow_changes)
        with contextlib.closing(make_engine(experiment, mesh, config.parallel.mode)) as engine:
            start, step = _train(engine, folder, progress, stop_requested, clock)
        rows = list(read_metrics(folder / "metrics.jsonl"))
    _check_complete(rows, step, experiment.plan.total_steps, folder)
    seconds = clock.seconds() if step > start else clock.before
    return Summary.of(experiment, rows, step=step, seconds=seconds, devices=mesh.size)


class _Clock:
    """Wall time of a run, including earlier starts up to the checkpoint it resumes from."""

    def __init__(self) -> None:
        self.before = 0.0
        self._began = time.monotonic()

    def seconds(self) -> float:
        """Wall time so far."""
        return self.before + time.monotonic() - self._began


def _check_complete(rows: list[Row], step: int, total: int, folder: pathlib.Path) -> None:
    """Raises OSError if a finished run lacks its last line of metrics, which has its results."""
    if step == total and parallel.is_primary() and (not rows or rows[-1]["step"] < total):
        raise OSError(
            f"{folder}: trained to step {total}, but metrics.jsonl lacks its end; remove the "
            "folder to train again"
        )


def make_engine(
    experiment: build.ArrayExperiment | build.StreamedExperiment, mesh: Mesh, mode: str
) -> Engine:
    """The engine for data in memory, or for streamed data."""
    if isinstance(experiment, build.StreamedExperiment):
        return StreamEngine(experiment, mesh, mode)
    return ArrayEngine([experiment], mesh, mode)


def _train(
    engine: Engine,
    folder: pathlib.Path,
    progress: Progress,
    stop_requested: Callable[[], bool],
    clock: _Clock,
) -> tuple[int, int]:
    """Trains to the end or to a stop; returns the steps at which it started and ended."""
    experiment = engine.experiment
    seed = experiment.config.seed
    fresh = experiment.create_state(seed, pretrained=False)  # a resumed run does without the file
    empty = engine.empty_totals(fresh)
    keep = experiment.config.train.keep_checkpoints
    with contextlib.closing(Checkpoints(folder / "checkpoints", keep=keep)) as checkpoints:
        restored = checkpoints.restore((fresh, empty))
        if restored is None:
            restored = Restored(0, (experiment.create_state(seed), empty), 0.0)
        start, (saved, window), clock.before = restored
        state = _as_configured(saved, fresh)
        _check_can_continue(folder, experiment.config, start, engine.plan.total_steps)
        # Only now, as a refused run must not change the workdir of another run.
        workdir_lib.record(folder, experiment)
        if parallel.any_host(stop_requested()):
            return start, start
        recorder = Recorder(
            engine, folder, checkpoints, progress, start=start, seconds=clock.seconds
        )
        with contextlib.closing(recorder):
            _, step = fit(
                engine,
                engine.place(state),
                recorder,
                window=engine.place(window),
                start=start,
                stop_requested=_agreed_stop(stop_requested, engine.plan),
            )
            checkpoints.finish()
            return start, step


def _check_can_continue(folder: pathlib.Path, config: Config, taken: int, total: int) -> None:
    """Raises ValueError if the run has more steps than the config, or ended with another one."""
    if taken > total:
        raise ValueError(
            f"config.train.length is {total} steps, but the run in {folder} has already taken "
            f"{taken}"
        )
    changed = workdir_lib.changes(folder, config)
    if taken == total and changed:
        raise ValueError(
            f"the run in {folder} is finished, and was not trained with the changed keys: "
            f"{'; '.join(changed)}. Choose another workdir, or a longer config.train.length"
        )


def _as_configured(saved: State, fresh: State) -> State:
    """The saved state with the hyperparameters, EDF and key of the current config."""
    hyperparams = fresh.opt_state.hyperparams
    opt_state = saved.opt_state._replace(hyperparams=hyperparams)
    return dataclasses.replace(saved, opt_state=opt_state, edf=fresh.edf, rng=fresh.rng)


def _agreed_stop(stop_requested: Callable[[], bool], plan: Plan) -> Callable[[int], bool]:
    """Asks this host, or all hosts together, but only where they wait for results anyway."""
    if jax.process_count() == 1:
        return lambda step: stop_requested()
    return lambda step: plan.due(plan.log_every, step) and parallel.any_host(stop_requested())
