"""Trains several programs (runs or populations) at the same time, each in its own process.

A small network leaves a large GPU idle, and several use it (docs/performance.md). With several
GPUs, each process sees one, and the processes are spread evenly.
"""

import collections
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import signal
import threading
from collections.abc import Generator, Iterator, Sequence

import jax

from dm_jax import train
from dm_jax.train.stop_request import StopRequest
from experiments import startup
from experiments.tables import local
from experiments.tables.cells import Cell
from experiments.tables.outcome import CellError, Outcome, StoppedError, picklable
from experiments.text import count

# Not forked: a fork would share JAX's threads and the device's state.
_spawning = multiprocessing.get_context("spawn")
_PREALLOCATE, _VISIBLE = "XLA_PYTHON_CLIENT_PREALLOCATE", "CUDA_VISIBLE_DEVICES"


def run_all(
    cells: Sequence[Cell], folder: pathlib.Path, progress: train.Progress, *, at_once: int
) -> Generator[Outcome, None, None]:
    """As `local.run_all`, with several runs (or populations) at a time.

    SIGTERM, Ctrl-C and closing the generator stop them all, each as it would stop alone. With
    several at a time, `progress` shows nothing.

    Args:
      cells, folder, progress: as for `local.run_all`.
      at_once: number of processes; with 1, everything runs in this process.

    Raises:
      StoppedError: a stop was requested.
      ValueError: at_once > 1, and a run wants several devices or the device cannot be shared.
    """
    if at_once == 1:
        yield from local.run_all(cells, folder, progress)
        return
    _check_one_device(cells)
    share_devices()
    devices = assignable_devices()
    found, failures = local.groups(cells)
    yield from failures
    waiting = collections.deque([cell for cell, _ in group] for group in found)
    del found  # frees the data, which each process loads itself
    running: list[_Worker] = []
    stopped: list[str] = []
    with StopRequest() as stop_requested, contextlib.ExitStack() as stack:
        stack.callback(_stop, running)
        while running or (waiting and not stop_requested()):
            while waiting and len(running) < at_once and not stop_requested():
                device = min(devices, key=[worker.device for worker in running].count)
                running.append(_Worker(waiting.popleft(), folder, device))
            ready = multiprocessing.connection.wait([w.outcome for w in running], timeout=1)
            if stop_requested():
                _stop(running)
            for worker in [worker for worker in running if worker.outcome in ready]:
                running.remove(worker)
                outcome = worker.end()
                if isinstance(outcome, list):
                    yield from outcome
                elif isinstance(outcome, StoppedError):
                    stopped.append(str(outcome))
                elif stop_requested():
                    stopped.append(f"{worker.name} had not started")
                else:
                    yield from ((cell, outcome) for cell in worker.cells)
        if stopped or waiting:
            left = [f"{count(sum(map(len, waiting)), 'run')} not started"] if waiting else []
            raise StoppedError("; ".join([*stopped, *left]))


class _Worker:
    """A process that runs the cells of one program on one device.

    Attributes:
      cells: what it runs.
      device: its GPU, as CUDA_VISIBLE_DEVICES names it, or None on a CPU.
      outcome: the connection on which it reports, once, how its cells ended.
    """

    def __init__(self, cells: list[Cell], folder: pathlib.Path, device: str | None):
        self.cells, self.device = cells, device
        self.outcome, sender = _spawning.Pipe(duplex=False)
        self._process = _spawning.Process(target=_work, args=(cells, folder, os.getpid(), sender))
        with visible_device(device), _ignoring_sigint():
            self._process.start()
        sender.close()
        self._asked = False

    @property
    def name(self) -> str:
        """The first of its cells and the number of the others."""
        more = len(self.cells) - 1
        return self.cells[0].name + (f" (and {more})" if more else "")

    def end(self) -> list[Outcome] | Exception:
        """The outcomes, a StoppedError, or an error if the process died without reporting."""
        try:
            return self.outcome.recv()
        except (EOFError, OSError):  # no report, or an incomplete one
            self._process.join()
            code = self._process.exitcode
            return CellError(f"the process of {self.name} ended with exit code {code}")

    def stop(self) -> None:
        """Asks the process, once, to save a checkpoint and end."""
        if not self._asked:
            self._asked = True
            self._process.terminate()


def _stop(workers: Sequence[_Worker]) -> None:
    for worker in workers:
        worker.stop()


def _work(
    cells: list[Cell],
    folder: pathlib.Path,
    parent: int,
    sender: multiprocessing.connection.Connection,
) -> None:
    # Around the run's own handler, so that finished cells are reported even if a stop comes.
    with StopRequest():
        startup.prepare()
        outcome: list[Outcome] | Exception
        try:
            ended = local.run_all(cells, folder, _StopWithParent(parent))
            outcome = [(cell, picklable(summary)) for cell, summary in ended]
        except StoppedError as stopped:
            outcome = stopped
        with contextlib.suppress(BrokenPipeError):  # the parent has ended
            sender.send(outcome)


class _StopWithParent(train.NoProgress):
    """Stops the run if its parent process has ended."""

    def __init__(self, parent: int):
        self._parent = parent

    def start(self, total: int, step: int) -> None:
        """Checks, as `update` does."""
        self.update(step)

    def update(self, step: int) -> None:
        """Stops the run if its parent has ended."""
        if os.getppid() != self._parent:
            signal.raise_signal(signal.SIGTERM)


def _check_one_device(cells: Sequence[Cell]) -> None:
    for devices in (cell.config.parallel.devices for cell in cells):
        if devices > 1:
            raise ValueError(
                "several runs at once use one device each: parallel.devices must be 0 or 1, got "
                f"{devices}"
            )


def share_devices() -> None:
    """Leaves GPU memory to the processes that `run_all` starts; call it before JAX reserves it."""
    os.environ.setdefault(_PREALLOCATE, "false")


def assignable_devices() -> list[str | None]:
    """The GPUs that processes can be assigned to, as CUDA_VISIBLE_DEVICES names them."""
    backend = jax.default_backend()
    if backend not in ("cpu", "gpu"):
        raise ValueError(
            f"several runs at once need a CPU or GPUs, got {backend}, which takes only one process"
        )
    if backend == "cpu":
        return [None]
    visible = os.environ.get(_VISIBLE)
    names = visible.split(",") if visible else map(str, range(jax.local_device_count()))
    return list(names)


@contextlib.contextmanager
def _ignoring_sigint() -> Iterator[None]:
    """Processes started within ignore Ctrl-C until they handle it; this one stops them instead."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextlib.contextmanager
def visible_device(device: str | None) -> Iterator[None]:
    """Processes started within see only this GPU."""
    if device is None:
        yield
        return
    before = os.environ.get(_VISIBLE)
    os.environ[_VISIBLE] = device
    try:
        yield
    finally:
        del os.environ[_VISIBLE]
        if before is not None:
            os.environ[_VISIBLE] = before
