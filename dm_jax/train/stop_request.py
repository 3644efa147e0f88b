"""Stop requests: SIGTERM, as sent by schedulers, or Ctrl-C."""

import signal
import threading
from types import FrameType


class StopRequest:
    """A context in which a signal sets a flag instead of ending the process (main thread only).

    A second Ctrl-C has its usual effect.
    """

    def __enter__(self):
        self._requested = False  # not an Event: a second signal would wait for its lock forever
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = {
                number: signal.signal(number, self._ask)
                for number in (signal.SIGTERM, signal.SIGINT)
            }
        return lambda: self._requested

    def _ask(self, number: int, _: FrameType | None) -> None:
        self._requested = True
        if number == signal.SIGINT:
            signal.signal(number, self._before[signal.SIGINT])

    def __exit__(self, *_):
        if self._main:
            for number, before in self._before.items():
                signal.signal(number, before)
