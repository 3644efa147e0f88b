"""The signals and the end of worker processes that decode images beside a training."""

import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from multiprocessing import resource_tracker


def end_with_parent(*_: int) -> None:
    """Ends this worker if the trainer dies without `Stream.close`, as by SIGKILL."""

    def wait() -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            parent.join()
            os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


@contextlib.contextmanager
def stop_signals_blocked() -> Iterator[None]:
    """Processes and threads started in this context ignore SIGTERM and Ctrl-C from their start.

    Schedulers and terminals signal all processes of a job, but the trainer needs its workers until
    it has saved.
    """
    resource_tracker.ensure_running()  # it unblocks these signals when it starts
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
