"""One module per benchmark, each with a `main(argv)`; see `experiments.benchmark`."""

import argparse
import time
from collections.abc import Callable, Mapping

import numpy as np


def positive(text: str) -> int:
    """The type of a flag that counts something: a whole number, at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {number}")
    return number


def in_turns(
    calls: Mapping[str, Callable[[], object]],
    *,
    rounds: int,
    seconds: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each call in each round, after one call of each that compiles.

    The calls take turns, so that other load on the machine meets them all, and each round in
    another order, so that none always follows the same other, which leaves caches and clocks as it
    used them.

    Args:
      calls: what to time, by name.
      rounds, seconds: how many at least, and how long at least.
      clock: in seconds.
    """
    for call in calls.values():
        call()
    times: dict[str, list[float]] = {name: [] for name in calls}
    names, random = list(calls), np.random.default_rng(0)
    end = time.perf_counter() + seconds
    while rounds > 0 or time.perf_counter() < end:
        for name in random.permutation(names):
            start = clock()
            calls[name]()
            times[name].append(clock() - start)
        rounds -= 1
    return times
