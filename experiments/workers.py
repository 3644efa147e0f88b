"""Cells that train at the same time, each in a process of its own.

A small network leaves a large GPU idle, and several use it (docs/performance.md). Of several GPUs a
process sees one, so that they are shared out evenly.
"""

import collections
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import pathlib
import pickle
import signal
from collections.abc import Iterable, Iterator, Sequence

import jax

from dm_jax import train
from dm_jax.train.stop_request import StopRequest
from experiments import cells as cells_lib
from experiments import startup

# Fresh processes: a forked one would share JAX's threads and the device's state.
_spawning = multiprocessing.get_context("spawn")
_PREALLOCATE, _VISIBLE = "XLA_PYTHON_CLIENT_PREALLOCATE", "CUDA_VISIBLE_DEVICES"
Outcome = tuple[cells_lib.Cell, train.Summary | Exception]


def run_all(
    cells: Sequence[cells_lib.Cell], folder: pathlib.Path, watcher: train.Watcher, *, at_once: int
) -> Iterator[Outcome]:
    """As `cells.run_all`, with so many runs (or populations) at a time.

    SIGTERM and Ctrl-C stop them all, each as it stops alone. The watcher is told of nothing where
    several run: they would talk at the same time.

    Args:
      cells, folder, watcher: of `cells.run_all`.
      at_once: how many processes; 1 is this one.

    Raises:
      StoppedError: a stop was requested.
    """
    if at_once == 1:
        yield from cells_lib.run_all(cells, folder, watcher)
        return
    os.environ.setdefault(_PREALLOCATE, "false")  # before JAX takes the memory of a GPU
    found, failures = cells_lib.groups(cells)
    yield from failures
    waiting = collections.deque([cell for cell, _ in group] for group in found)
    with StopRequest() as stop_requested, contextlib.ExitStack() as stack:
        devices, running, stopped = _devices(), list[_Worker](), list[str]()
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
                said = worker.end()
                if isinstance(said, list):
                    yield from said
                elif stop_requested():
                    stopped.append(str(said))
                else:
                    yield from ((cell, said) for cell in worker.cells)
        if stopped or waiting:
            left = [f"{len(waiting)} not started"] if waiting else []
            raise cells_lib.StoppedError("; ".join([*stopped, *left]))


class _Worker:
    """A process that runs cells which are one program, on one device.

    Attributes:
      cells: what it runs.
      device: the number of its GPU, or None where there is nothing to choose.
      outcome: the connection on which it says, once, how its cells ended.
    """

    def __init__(self, cells: list[cells_lib.Cell], folder: pathlib.Path, device: str | None):
        self.cells, self.device = cells, device
        self.outcome, sender = _spawning.Pipe(duplex=False)
        self._process = _spawning.Process(target=_work, args=(cells, folder, os.getpid(), sender))
        with _seeing(device):
            self._process.start()
        sender.close()

    def end(self) -> list[Outcome] | Exception:
        """How its cells ended; a StoppedError, or an error where it died without a word."""
        try:
            return self.outcome.recv()
        except EOFError:
            self._process.join()
            first = cells_lib.folder_name(self.cells[0])
            code = self._process.exitcode
            return RuntimeError(f"the process of {first} ended with exit code {code}")

    def stop(self) -> None:
        """Asks it to checkpoint and end; more than once does no harm."""
        self._process.terminate()


def _stop(workers: Iterable[_Worker]) -> None:
    for worker in workers:
        worker.stop()


def _work(
    cells: list[cells_lib.Cell],
    folder: pathlib.Path,
    parent: int,
    sender: multiprocessing.connection.Connection,
) -> None:
    startup.prepare()
    said: list[Outcome] | Exception
    try:
        ended = cells_lib.run_all(cells, folder, _Tied(parent))
        said = [(cell, _sendable(outcome)) for cell, outcome in ended]
    except cells_lib.StoppedError as stopped:
        said = stopped
    with contextlib.suppress(BrokenPipeError):  # nobody is there to hear it
        sender.send(said)


class _Tied(train.Unwatched):
    """Asks the run to stop if the process that started it is gone."""

    def __init__(self, parent: int):
        self._parent = parent

    def moved(self, step: int) -> None:
        """Looks whether it is still there."""
        if os.getppid() != self._parent:
            signal.raise_signal(signal.SIGTERM)


def _sendable(summary: train.Summary | Exception) -> train.Summary | Exception:
    """Not every exception of a library survives pickling."""
    try:
        pickle.loads(pickle.dumps(summary))
    except Exception:
        return RuntimeError(f"{type(summary).__name__}: {summary}")
    return summary


def _devices() -> list[str | None]:
    """The GPUs that processes can be dealt out to, as CUDA_VISIBLE_DEVICES names them."""
    if jax.default_backend() != "gpu":
        return [None]
    visible = os.environ.get(_VISIBLE)
    return [*(visible.split(",") if visible else map(str, range(jax.local_device_count())))]


@contextlib.contextmanager
def _seeing(device: str | None) -> Iterator[None]:
    """A process that is started within sees this GPU only."""
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
