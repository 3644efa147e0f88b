"""The training loop: runs blocks of steps on the device, and callbacks at regular intervals.

The host waits only for results that it writes, and for the oldest of several blocks in flight.
Where blocks end depends only on the absolute step, so a resumed run makes the same compiled calls.
"""

import collections
from collections.abc import Callable
from typing import Protocol

import jax

from dm_jax import metrics
from dm_jax.train.engine import IN_FLIGHT, Engine
from dm_jax.train.state import State


class Callbacks(Protocol):
    """Callbacks of `fit`, each called after `step` steps."""

    def progress(self, step: int) -> None:
        """The device has finished `step` steps."""

    def log(self, step: int, window: metrics.Totals) -> None:
        """Logs the totals since the last call."""

    def evaluate(self, step: int, state: State) -> bool:
        """Evaluates the state; returns whether to save it, as it is the best so far."""

    def checkpoint(self, step: int, state: State, window: metrics.Totals) -> None:
        """Saves the state, and `window`, the totals since the last log."""


def fit(
    engine: Engine,
    state: State,
    callbacks: Callbacks,
    *,
    window: metrics.Totals,
    start: int = 0,
    stop_requested: Callable[[int], bool] = lambda step: False,
) -> tuple[State, int]:
    """Trains from step `start` to the end of the engine's plan, or until a stop is requested.

    Args:
      engine: advances the state; its plan says when the callbacks are called.
      state: after `start` steps, on the devices; donated.
      callbacks: called at the intervals of the plan; the best states are saved beyond these.
      window: totals since the last log, on the devices: `engine.empty_totals` in a new run.
      start: steps that a resumed run has taken.
      stop_requested: called with the step between blocks; if true, checkpoints and returns.

    Returns:
      (state, the number of steps it has taken).
    """
    plan, empty = engine.plan, engine.place(metrics.Totals.empty(window))
    in_flight: collections.deque = collections.deque()
    for begin, end in plan.blocks(start):
        state, totals = engine.advance(state, engine.block(begin, end))
        window = window.add(totals)
        in_flight.append((end, totals))
        if len(in_flight) > IN_FLIGHT:
            done, oldest = in_flight.popleft()
            jax.block_until_ready(oldest)
            callbacks.progress(done)
        if plan.due(plan.log_every, end):
            callbacks.log(end, window)
            window = empty
        is_best = plan.due(plan.evaluate_every, end) and callbacks.evaluate(end, state)
        stop = stop_requested(end) and end < plan.total_steps
        if plan.due(plan.checkpoint_every, end) or is_best or stop:
            callbacks.checkpoint(end, state, window)
        if stop:
            return state, end
    for done, _ in in_flight:
        callbacks.progress(done)
    return state, plan.total_steps
