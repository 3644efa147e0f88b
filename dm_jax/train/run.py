"""One run, from a config to a summary, in a workdir that survives being killed."""

import dataclasses
import pathlib
import signal
import threading
import time
from typing import Any

from dm_jax.train import build, parallel
from dm_jax.train import workdir as workdir_lib
from dm_jax.train.build import Experiment
from dm_jax.train.checkpoints import Checkpoints
from dm_jax.train.config import Config
from dm_jax.train.engine import Engine
from dm_jax.train.loop import fit
from dm_jax.train.recorder import Recorder, Watcher
from dm_jax.train.writers import read_metrics


@dataclasses.dataclass(frozen=True)
class Summary:
    """How a run ended.

    Attributes:
      step, total: steps taken, of how many.
      rows: everything in metrics.jsonl; accuracies in [0, 1].
      corruption: hash of the training labels' corruption.
      actual_rate: share of the training labels that were changed.
      seconds: wall time of this start.
    """

    step: int
    total: int
    rows: list[dict[str, Any]]
    corruption: str
    actual_rate: float
    seconds: float

    @property
    def finished(self) -> bool:
        """Whether training reached its end (else a stop was requested)."""
        return self.step == self.total

    def curve(self, name: str) -> list[tuple[int, float]]:
        """(step, value) of every row that has `name`."""
        return [(row["step"], row[name]) for row in self.rows if row.get(name) is not None]

    def final(self, name: str = "test_accuracy") -> float:
        """The last value of `name`; NaN if there is none."""
        curve = self.curve(name)
        return curve[-1][1] if curve else float("nan")

    def best(self, name: str = "test_accuracy") -> tuple[float, int]:
        """The highest value of `name` and the first step that had it; (NaN, 0) if there is none."""
        curve = self.curve(name)
        step, value = max(curve, key=lambda point: point[1], default=(0, float("nan")))
        return value, step


def run(
    config: Config, workdir: pathlib.Path | str, *, watcher: Watcher, allow_changes: bool = False
) -> Summary:
    """Trains, or goes on where the workdir's newest checkpoint stands.

    SIGTERM checkpoints and returns early. Leaves config.json, environment.json, corruption.npz,
    metrics.jsonl, TensorBoard events and checkpoints in the workdir.

    Raises:
      ValueError: a bad config, or a workdir of another config (see `workdir.claim`).
      OSError: the workdir or a checkpoint cannot be written.
      NonFiniteLossError: with the step, the learning rate and the last good checkpoint.
    """
    began = time.monotonic()
    parallel.initialize(config.parallel)
    mesh = parallel.make_mesh(config.parallel)
    parallel.check_batch(mesh, config.train.batch_size, "config.train.batch_size")
    experiment = build.experiment(config)
    folder = pathlib.Path(workdir)
    workdir_lib.claim(folder, config, allow_changes=allow_changes)
    workdir_lib.record_corruption(folder, experiment.training)
    step = _train(Engine([experiment], mesh, config.parallel.mode), folder, watcher)
    return _summary(experiment, folder, step, time.monotonic() - began)


def _train(engine: Engine, folder: pathlib.Path, watcher: Watcher) -> int:
    """Trains to the end or to a stop; returns the step reached."""
    experiment = engine.experiments[0]
    plan = dataclasses.replace(experiment.plan, most=experiment.plan.most if engine.scans else 1)
    state = experiment.create_state(experiment.config.seed)
    empty = engine.empty_totals(state)
    keep = experiment.config.train.keep_checkpoints
    checkpoints = Checkpoints(folder / "checkpoints", keep=keep)
    start, (state, window) = checkpoints.restore((state, empty)) or (0, (state, empty))
    recorder = Recorder(engine, folder, checkpoints, watcher, start)
    try:
        with _StopRequest() as stop_requested:
            return fit(
                engine.advance,
                engine.blocks,
                engine.place(state),
                plan,
                recorder,
                empty=parallel.replicate(empty, engine.mesh),
                window=parallel.replicate(window, engine.mesh),
                start=start,
                stop_requested=stop_requested,
            )[1]
    finally:
        recorder.close()


def _summary(experiment: Experiment, folder: pathlib.Path, step: int, seconds: float) -> Summary:
    return Summary(
        step=step,
        total=experiment.plan.total,
        rows=list(read_metrics(folder / "metrics.jsonl")),
        corruption=experiment.training.hash,
        actual_rate=experiment.training.actual_rate,
        seconds=seconds,
    )


class _StopRequest:
    """Within it, SIGTERM sets a flag instead of ending the process (in the main thread only)."""

    def __enter__(self):
        self._requested = threading.Event()
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = signal.signal(signal.SIGTERM, lambda *_: self._requested.set())
        return self._requested.is_set

    def __exit__(self, *_):
        if self._main:
            signal.signal(signal.SIGTERM, self._before)
