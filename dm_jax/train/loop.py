"""The training loop: runs blocks of steps on the device, and callbacks at regular intervals.

The host waits only for results that it writes, and for the oldest of several blocks in flight.
Where blocks end depends only on the absolute step, so a resumed run makes the same compiled calls.
"""

import collections
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import jax

from dm_jax import metrics
from dm_jax.train.state import State

# Blocks dispatched to the device before the host waits for the oldest: enough that the device never
# idles, few enough that a stop request is answered soon.
_IN_FLIGHT = 2


@dataclasses.dataclass(frozen=True)
class Plan:
    """Length and intervals of a run, in steps.

    Attributes:
      total_steps: length of the training.
      log_every, evaluate_every, checkpoint_every: at every multiple of these, and at the end.
      max_steps_per_call: upper bound on the steps in one compiled call.
    """

    total_steps: int
    log_every: int
    evaluate_every: int
    checkpoint_every: int
    max_steps_per_call: int = 1

    def __post_init__(self):
        for field in dataclasses.fields(self):
            if getattr(self, field.name) < 1:
                value = getattr(self, field.name)
                raise ValueError(f"{field.name} must be at least one step, got {value}")

    @property
    def steps_per_call(self) -> int:
        """The largest divisor of all intervals that is at most `max_steps_per_call`."""
        common = math.gcd(self.log_every, self.evaluate_every, self.checkpoint_every)
        return max(d for d in range(1, min(self.max_steps_per_call, common) + 1) if common % d == 0)

    def blocks(self, start: int) -> Iterator[tuple[int, int]]:
        """(begin, end) of every call from `start`; ends are multiples of `steps_per_call`."""
        while start < self.total_steps:
            end = min(start - start % self.steps_per_call + self.steps_per_call, self.total_steps)
            yield start, end
            start = end

    def due(self, interval: int, step: int) -> bool:
        """Whether something with this interval is due after `step` steps."""
        return step % interval == 0 or step == self.total_steps


class Callbacks(Protocol):
    """Callbacks of `fit`, each called after `step` steps."""

    def progress(self, step: int) -> None:
        """The device has finished `step` steps."""

    def log(self, step: int, window: metrics.Totals) -> None:
        """Logs the totals since the last call."""

    def evaluate(self, step: int, state: State) -> None:
        """Evaluates the state."""

    def checkpoint(self, step: int, state: State, window: metrics.Totals) -> None:
        """Saves the state, and `window`, the totals since the last log."""


def fit(
    advance: Callable[[State, Any], tuple[State, metrics.Totals]],
    block: Callable[[int, int], Any],
    state: State,
    plan: Plan,
    callbacks: Callbacks,
    *,
    empty: metrics.Totals,
    window: metrics.Totals,
    start: int = 0,
    stop_requested: Callable[[int], bool] = lambda step: False,
) -> tuple[State, int]:
    """Trains from step `start` to the end of the plan, or until a stop is requested.

    Args:
      advance: the compiled steps, `(state, block) -> (state, totals)`; the state is donated.
      block: `(begin, end)` -> the device's block for those steps.
      state: after `start` steps.
      plan: length and intervals.
      callbacks: called at those intervals.
      empty: zero totals.
      window, start: totals since the last log, and the step, of a resumed run.
      stop_requested: called with the step between blocks; if true, checkpoints and returns.

    Returns:
      (state, the number of steps it has taken).
    """
    in_flight: collections.deque = collections.deque()
    for begin, end in plan.blocks(start):
        state, totals = advance(state, block(begin, end))
        window = window.add(totals)
        in_flight.append((end, totals))
        if len(in_flight) > _IN_FLIGHT:
            done, oldest = in_flight.popleft()
            jax.block_until_ready(oldest)
            callbacks.progress(done)
        if plan.due(plan.log_every, end):
            callbacks.log(end, window)
            window = empty
        if plan.due(plan.evaluate_every, end):
            callbacks.evaluate(end, state)
        stop = stop_requested(end) and end < plan.total_steps
        if plan.due(plan.checkpoint_every, end) or stop:
            callbacks.checkpoint(end, state, window)
        if stop:
            return state, end
    for done, _ in in_flight:
        callbacks.progress(done)
    return state, plan.total_steps
