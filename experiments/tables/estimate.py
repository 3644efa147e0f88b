"""Estimates a table's cost in runs, time and device memory, from a few steps of each kind."""

import collections
import contextlib
import dataclasses
import time
from collections.abc import Hashable, Sequence

import jax

from dm_jax.train import hardware, parallel, population
from dm_jax.train.engine import Engine
from dm_jax.train.run import make_engine
from dm_jax.train.state import State
from experiments import own_code
from experiments.tables import local
from experiments.tables.cells import Cell
from experiments.text import count, duration

_TIMED_BLOCKS = 2
_LONGEST_BLOCK = 100  # steps


def describe(cells: Sequence[Cell]) -> tuple[str, int]:
    """Describes what would run; also returns how many cells cannot.

    The text has a line for each kind of program (runs, steps, time, memory), and the total time.
    """
    groups, failures = local.groups(cells)
    reasons = collections.Counter(_reason(error) for _, error in failures)
    alike: dict[Hashable, list[list[local.Built]]] = {}
    for group in groups:
        cell, experiment = group[0]
        program = (cell.config.model, cell.config.data, cell.config.train.batch_size)
        # As text, because a model's parameters are a dict, which cannot be hashed.
        key = str((*program, len(group), experiment.plan.total_steps))
        alike.setdefault(key, []).append(group)
    total, lines = 0.0, []
    for programs in alike.values():
        try:
            per_step, memory = _measure(programs[0])
        except Exception as error:  # the rest can still be planned
            reasons[_reason(error)] += sum(map(len, programs))
            continue
        (cell, experiment), *_ = programs[0]
        steps = experiment.plan.total_steps
        seconds = per_step * steps
        total += seconds * len(programs)
        turns = f", {len(programs)} times, one after the other" if len(programs) > 1 else ""
        lines.append(
            f"{count(len(programs[0]), 'run')} x {steps} steps of {cell.config.model.name}: "
            f"{duration(seconds)}, {memory / 2**20:.0f} MiB{turns} (first: {cell.row}, "
            f"{cell.column})"
        )
    lines.append(
        f"about {duration(total)} on {hardware.devices(0)}, compilation and evaluation not counted"
    )
    lost = [f"{count(n, 'run')} cannot start: {reason}" for reason, n in reasons.items()]
    return "\n".join(lost + lines), reasons.total()


def _reason(error: Exception) -> str:
    return f"{error}{own_code.place(error)}"


def _measure(group: list[local.Built]) -> tuple[float, int]:
    """Seconds per step and bytes of device memory of one program."""
    config = local.use_all_devices(group[0][0].config)
    experiment = group[0][1]
    engine: Engine
    if len(group) > 1:
        engine, state = population.prepare(local.members(group))
    else:
        mesh = parallel.make_mesh(config.parallel)
        engine = make_engine(experiment, mesh, config.parallel.mode)
        state = engine.place(experiment.create_state(config.seed))
    with contextlib.closing(engine):
        return _timed(engine, state)


def _timed(engine: Engine, state: State) -> tuple[float, int]:
    """As `_measure`, for a prepared engine."""
    most = min(engine.plan.max_steps_per_call, _LONGEST_BLOCK)
    engine.plan = dataclasses.replace(engine.plan, max_steps_per_call=most)
    size = engine.plan.steps_per_call
    memory = engine.memory(state)
    state, totals = engine.advance(state, engine.block(0, size))
    jax.block_until_ready(totals)
    began = time.perf_counter()
    for i in range(1, _TIMED_BLOCKS + 1):
        state, totals = engine.advance(state, engine.block(i * size, (i + 1) * size))
    jax.block_until_ready(totals)
    return (time.perf_counter() - began) / (_TIMED_BLOCKS * size), memory
