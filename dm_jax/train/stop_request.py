"""Stop requests: SIGTERM, as sent by schedulers, or Ctrl-C."""

import signal
import threading
from types import FrameType


class StopRequest:
    """A context in which a signal sets a flag instead of ending the process (main thread only).

    A second Ctrl-C has its usual effect. Contexts within each other share the flag.
    """

    def __enter__(self):
        self._requested = False  # not an Event: a second signal would wait for its lock forever
        self._outer: StopRequest | None = None
        self._main = threading.current_thread() is threading.main_thread()
        if self._main:
            self._before = {
                number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)
            }
            outer = getattr(self._before[signal.SIGTERM], "__self__", None)
            self._outer = outer if isinstance(outer, StopRequest) else None
            for number in self._before:  # from here on, signals may come
                signal.signal(number, self._ask)
        return self._is_requested

    def _is_requested(self) -> bool:
        return self._requested or (self._outer is not None and self._outer._is_requested())

    def _ask(self, number: int, frame: FrameType | None) -> None:
        self._requested = True
        if self._outer is not None:
            self._outer._ask(number, frame)
        elif number == signal.SIGINT:
            signal.signal(number, self._before[signal.SIGINT])

    def __exit__(self, *_):
        if self._main:
            for number, before in self._before.items():
                if signal.getsignal(number) == self._ask:  # not after Ctrl-C
                    signal.signal(number, before)
