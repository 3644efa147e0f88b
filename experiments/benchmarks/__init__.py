"""One module per benchmark, each with a `main(argv)`; see `experiments.benchmark`."""

import argparse
import datetime
import importlib.util
import os
import platform
import time
from collections.abc import Callable, Mapping
from importlib import metadata

import jax
import numpy as np

from dm_jax.train import hardware
from experiments import commit


def heading(subject: str, *packages: str) -> str:
    """What is measured, the day, the commit, the versions of jax and the packages, the machine.

    Args:
      subject: what is measured.
      packages: those of which the version is given if they are at hand.
    """
    at_hand = [name for name in ("jax", *packages) if importlib.util.find_spec(name)]
    facts = [
        str(datetime.date.today()),
        f"commit {commit.of_code() or 'unknown'}",
        *(f"{name} {metadata.version(name)}" for name in at_hand),
        f"Python {platform.python_version()}",
        hardware.kind(jax.devices()[0]),
        f"{os.cpu_count()} cores",
        f"load {os.getloadavg()[0]:.1f}",
    ]
    return f"{subject}; {', '.join(facts)}\n"


def positive(text: str) -> int:
    """Parses a flag that counts something: an integer of at least 1."""
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
    """Times each call in each round, in seconds, after one untimed call of each to compile.

    The calls take turns, so that other load on the machine affects them all, in a different order
    each round, so that none always inherits the caches and clock speeds of the same other one.

    Args:
      calls: what to time, by name.
      rounds: minimum number of rounds.
      seconds: minimum wall time of all rounds.
      clock: returns the time in seconds.
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
