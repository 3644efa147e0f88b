"""Records a single run: metrics, checkpoints and progress."""

import contextlib
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from dm_jax import metrics
from dm_jax.train import parallel
from dm_jax.train.checkpoints import Checkpoints
from dm_jax.train.engine import Engine
from dm_jax.train.progress import NoProgress, Progress
from dm_jax.train.state import State
from dm_jax.train.writers import MetricsFile, NullWriter, TensorBoard


class NonFiniteLossError(ArithmeticError):
    """The loss became NaN or infinite; the last good checkpoint is kept."""


class Recorder:
    """Callbacks of a single run: metrics.jsonl, TensorBoard, checkpoints and a progress display.

    Names in metrics.jsonl: `train_*` of the batches since the last log point, `test_*` and
    `validation_*` of a whole split, and at the end `fit_*` of the whole training set without
    augmentation; `accuracy` is on true labels, `accuracy_given` on those trained on, both in
    [0, 1]. Streamed sets have no `fit_*`, and MARS has `test_mAP` and `test_CMC-k` instead of a
    test accuracy.
    """

    def __init__(
        self,
        engine: Engine,
        folder: pathlib.Path,
        checkpoints: Checkpoints,
        progress: Progress,
        *,
        start: int,
        seconds: Callable[[], float] = lambda: 0.0,
    ):
        """Opens the files; only the first host writes and shows progress.

        Args:
          engine: the run's engine.
          folder: the workdir.
          checkpoints: where states are saved.
          progress: the progress display.
          start: step at which the run resumes; what was written beyond it is dropped.
          seconds: returns the wall time of the run so far.
        """
        self._engine, self._checkpoints, self._seconds = engine, checkpoints, seconds
        self._experiment = engine.experiment
        self._file: MetricsFile | NullWriter = NullWriter()
        self._board: TensorBoard | NullWriter = NullWriter()
        if parallel.is_primary():
            log_every = self._experiment.plan.log_every
            path = folder / "metrics.jsonl"
            self._file = MetricsFile(path, resume_step=start, log_every=log_every)
            self._board = TensorBoard(folder / "tensorboard", resume_step=start)
        self._progress = progress if parallel.is_primary() else NoProgress()
        self._best_step, self._best_score = -1, checkpoints.best_score
        self._timed_from: tuple[float, int] | None = None  # (time, step) of the last log
        self._progress.start(self._experiment.plan.total_steps, start)

    def progress(self, step: int) -> None:
        """Updates the progress display."""
        self._progress.update(step)

    def log(self, step: int, window: metrics.Totals) -> None:
        """Writes the means of the window.

        Raises:
          NonFiniteLossError: a loss was not finite.
        """
        self._check_finite(window)
        values = {f"train_{name}": float(value) for name, value in window.means().items()}
        values["learning_rate"] = self._learning_rate(step - 1)
        self._write(step, values)
        shown = {"loss": values["train_loss"]}
        if self._timed_from is not None:  # before the first log, the step is compiled
            began, before = self._timed_from
            shown["steps/s"] = (step - before) / max(time.monotonic() - began, 1e-9)
            self._board.write(step, {"steps_per_second": shown["steps/s"]})
        self._timed_from = time.monotonic(), step
        self._progress.show(step, shown)

    def evaluate(self, step: int, state: State) -> bool:
        """Evaluates the test and validation sets; at the end the training set too.

        Returns:
          Whether the validation accuracy is the best so far.
        """
        last = step == self._experiment.plan.total_steps
        with self._untimed(state):
            found = self._engine.evaluate_all(state, last=last)
            values = {name: float(value) for name, value in found.items()}
            self._write(step, values)
        shown = ("test_accuracy", "validation_accuracy", "test_mAP", "test_CMC-1")
        self._progress.show(step, {name: values[name] for name in shown if name in values})
        # By the given labels: where the held-out labels are noisy, nothing else would be known.
        return self._is_best(step, values.get("validation_accuracy_given"))

    def _is_best(self, step: int, score: float | None) -> bool:
        """Whether the score, if there is one, is above all before; of ties the first is best."""
        if score is None:
            return False
        if score > self._best_score:
            self._best_step, self._best_score = step, score
        return parallel.any_host(parallel.is_primary() and self._best_step == step)

    def checkpoint(self, step: int, state: State, window: metrics.Totals) -> None:
        """Saves; raises NonFiniteLossError if the loss or a parameter is not finite."""
        with self._untimed(state):
            self._check_finite(window)
            if not _all_finite((state.params, state.batch_stats)):
                raise self._not_finite("parameters were", step - 1)
            self._file.sync()  # so that no checkpoint is ahead of the metrics
            score = self._best_score if self._best_step == step else None
            seconds = self._seconds()
            self._checkpoints.save(step, (state, window), score=score, seconds=seconds)

    @contextlib.contextmanager
    def _untimed(self, state: State) -> Iterator[None]:
        """Leaves the time within out of the rate of steps, but not the wait for the state."""
        jax.block_until_ready(state)
        began = time.monotonic()
        yield
        if self._timed_from is not None:
            then, step = self._timed_from
            self._timed_from = then + time.monotonic() - began, step

    def close(self) -> None:
        """Closes all files, even if closing one of them fails."""
        with contextlib.ExitStack() as stack:
            for one in (self._board, self._file, self._progress):
                stack.callback(one.close)

    def _learning_rate(self, step: int) -> float:
        return float(self._experiment.learning_rate(jnp.asarray(step, jnp.int32)))

    def _write(self, step: int, values: dict[str, float]) -> None:
        self._file.write(step, values)
        self._board.write(step, values)

    def _check_finite(self, window: metrics.Totals) -> None:
        bad = int(window.first_nonfinite)
        if bad != metrics.NEVER:
            raise self._not_finite("loss was", bad)

    def _not_finite(self, what: str, step: int) -> NonFiniteLossError:
        """The error for the step after `step` others, which is called `step` + 1 everywhere."""
        rate = self._learning_rate(step)
        latest = self._checkpoints.latest
        last_good = "there is no checkpoint"
        if latest is not None:
            last_good = f"the last good checkpoint is of step {latest}"
        return NonFiniteLossError(
            f"the {what} not finite at step {step + 1} (learning rate {rate:.3g}); {last_good}"
        )


@jax.jit
def _all_finite(tree: Any) -> jax.Array:
    return jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]))
