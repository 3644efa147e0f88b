"""A stop request only sets a flag, whatever the signals do."""

import signal
import subprocess
import sys
import threading

import pytest

from dm_jax.train.stop_request import StopRequest

MANY = """
import signal, sys
from dm_jax.train.stop_request import StopRequest

left = 20

def trace(frame, event, argument):
    global left
    if left:
        left -= 1
        signal.raise_signal(signal.SIGTERM)
    return trace

with StopRequest() as stop_requested:
    sys.settrace(trace)
    signal.raise_signal(signal.SIGTERM)
    sys.settrace(None)
    assert stop_requested() and left < 20
"""


def test_signals_at_every_line_of_the_handler_are_no_more_than_one():
    """A lock in the handler, such as that of `threading.Event.set`, would be waited for forever."""
    subprocess.run([sys.executable, "-c", MANY], check=True, timeout=30)


@pytest.fixture
def interrupts():
    """Python's own handler of Ctrl-C, which a process in the background is started without."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_a_second_interrupt_has_its_usual_effect(interrupts):
    with StopRequest() as stop_requested:
        signal.raise_signal(signal.SIGINT)
        assert stop_requested()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_afterwards_signals_do_what_they_did(interrupts):
    before = signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_a_stop_within_is_one_around_it_too():
    with StopRequest() as around:
        with StopRequest() as within:
            signal.raise_signal(signal.SIGTERM)
            assert within()
        assert around()
        with StopRequest() as later:
            assert later()


def test_a_second_interrupt_has_its_usual_effect_after_the_inner_context(interrupts):
    with StopRequest() as around:
        with StopRequest():
            signal.raise_signal(signal.SIGINT)
        assert around()
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


def test_in_another_thread_no_signal_is_handled():
    found = []

    def enter():
        with StopRequest() as stop_requested:
            found.append(stop_requested())

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert found == [False]
