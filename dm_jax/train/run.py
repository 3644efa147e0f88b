"""One run, from a config to a summary, in a workdir that survives being killed."""

import pathlib
import signal
import threading
import time

from dm_jax.train import build, parallel
from dm_jax.train import workdir as workdir_lib
from dm_jax.train.checkpoints import Checkpoints
from dm_jax.train.config import Config
from dm_jax.train.engine import Engine
from dm_jax.train.loop import fit
from dm_jax.train.recorder import Recorder, Watcher
from dm_jax.train.summary import Summary
from dm_jax.train.writers import read_metrics


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
    rows = list(read_metrics(folder / "metrics.jsonl"))
    return Summary.of(experiment, rows, step=step, seconds=time.monotonic() - began)


def _train(engine: Engine, folder: pathlib.Path, watcher: Watcher) -> int:
    """Trains to the end or to a stop; returns the step reached."""
    experiment = engine.experiments[0]
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
                engine.plan,
                recorder,
                empty=engine.place(empty),
                window=engine.place(window),
                start=start,
                stop_requested=stop_requested,
            )[1]
    finally:
        recorder.close()


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
