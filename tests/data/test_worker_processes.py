"""Stop signals are blocked while workers start, and at no other time."""

import contextlib
import signal

from dm_jax.data.worker_processes import stop_signals_blocked


def _blocked():
    return signal.pthread_sigmask(signal.SIG_BLOCK, [])


def test_the_trainer_gets_its_signals_again_once_the_workers_are_started():
    before = _blocked()
    assert not before & {signal.SIGTERM, signal.SIGINT}
    with stop_signals_blocked():
        assert _blocked() == before | {signal.SIGTERM, signal.SIGINT}
    assert _blocked() == before
    with contextlib.suppress(OSError), stop_signals_blocked():
        raise OSError("no more processes")
    assert _blocked() == before
