"""Benchmarks training: images per second of the engine, of its bare step, and of PyTorch.

    python -m experiments.benchmark train [--batch=256] [--steps=20] [--rounds=7]
        [--dtype=bfloat16] [--depth=44] [--clock=processor]

A ResNet for 32x32 images with DM, momentum and L2. "engine" is everything a run does between two
lines of metrics.jsonl: shuffling, gathering, crops and flips, metrics. "bare step" is the same
compiled step on one prepared batch. PyTorch, if installed, trains the same network with the
authors' loss on one prepared batch, channels_last, eager and compiled; under autocast if the dtype
is bfloat16. All take turns, in a different order each round; a rate is the median over rounds. On a
CPU shared with other work, ratios of processor time are reliable, those of wall time are not.
"""

import argparse
import functools
import importlib.util
import time
from collections.abc import Callable

import jax
import numpy as np

from configs import common
from dm_jax import data, metrics, models
from dm_jax.models import cost
from dm_jax.train import Config, build, parallel
from dm_jax.train.array_engine import ArrayEngine
from dm_jax.train.config import ParallelConfig
from dm_jax.train.loop import fit
from dm_jax.train.state import State
from dm_jax.train.step import make_train_step
from experiments import benchmarks

Steps = Callable[[int], None]  # trains that many steps, and waits
_CLOCKS = {"wall": time.perf_counter, "processor": time.process_time}


def main(argv: list[str]) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog="experiments.benchmark train", description=__doc__)
    parser.add_argument("--batch", type=benchmarks.positive, default=256)
    parser.add_argument("--steps", type=benchmarks.positive, default=20, help="per turn")
    parser.add_argument("--rounds", type=benchmarks.positive, default=7, help="turns of each")
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--depth", type=int, default=44, choices=(20, 32, 44, 56, 110))
    parser.add_argument("--clock", default="wall", choices=_CLOCKS)
    flags = parser.parse_args(argv)
    calls = contenders(flags.depth, flags.batch, flags.steps, flags.dtype)
    subject = (
        f"ResNet-{flags.depth}, batch {flags.batch}, {flags.dtype}, {flags.rounds} rounds of "
        f"{flags.steps} steps, {flags.clock} time"
    )
    print(benchmarks.heading(subject, "torch"))
    times = measure(calls, flags.steps, flags.rounds, _CLOCKS[flags.clock])
    print(table(times, flags.depth, flags.batch), flush=True)


def contenders(depth: int, batch: int, steps: int, dtype: str) -> dict[str, Steps]:
    """The training loops to measure, by name."""
    built = build.experiment(_config(depth, batch, steps, dtype), _dataset(4 * batch))
    calls = {"engine": _engine(built), "bare step": _bare_step(built)}
    if importlib.util.find_spec("torch"):
        from experiments import torch_loop

        calls["PyTorch, eager"] = torch_loop.training(depth, batch, dtype, compiled=False)
        calls["PyTorch, torch.compile"] = torch_loop.training(depth, batch, dtype, compiled=True)
    return calls


def measure(
    calls: dict[str, Steps], steps: int, rounds: int, clock: Callable[[], float]
) -> dict[str, list[float]]:
    """Seconds per step in every round, after one untimed turn each to compile."""
    turns = {name: functools.partial(call, steps) for name, call in calls.items()}
    times = benchmarks.in_turns(turns, rounds=rounds, clock=clock)
    return {name: [seconds / steps for seconds in column] for name, column in times.items()}


def table(times: dict[str, list[float]], depth: int, batch: int) -> str:
    """The rates as Markdown, with the median ratio of the time to the bare step's."""
    model = models.create(f"resnet{depth}", num_classes=10)
    # A multiply-add is two operations; a backward pass costs twice a forward pass.
    operations = 6 * cost.multiply_adds(model, (1, 32, 32, 3))
    lines = ["| | ms a step | images/s | GFLOP/s | time / bare step |", "|---|---|---|---|---|"]
    for name, seconds in times.items():
        rate = batch / np.median(seconds)
        ratio = np.median(np.divide(seconds, times["bare step"]))
        cells = f"{np.median(seconds) * 1e3:.1f} | {rate:.4g} | {rate * operations / 1e9:.4g}"
        lines.append(f"| {name} | {cells} | {ratio:.3f} |")
    return "\n".join(lines)


def _config(depth: int, batch: int, steps: int, dtype: str) -> Config:
    values = common.base()
    values.data.augment = "crop_flip"
    values.noise.rate = 0.4
    values.model.name, values.model.dtype = f"resnet{depth}", dtype
    values.train.batch_size = batch
    values.train.length = values.train.log_every = f"{steps} steps"
    values.train.evaluate_every = values.train.checkpoint_every = f"{steps} steps"
    values.parallel.devices = 1
    return Config.parse(values)


def _dataset(count: int) -> data.Dataset:
    """Random images in CIFAR's shape."""
    random = np.random.default_rng(0)
    split = data.Split(
        random.integers(0, 256, (count, 32, 32, 3), np.uint8),
        random.integers(0, 10, count, np.int32),
    )
    return data.Dataset("random", split, split, tuple("0123456789"))


def _engine(built: build.ArrayExperiment) -> Steps:
    engine = ArrayEngine([built], parallel.make_mesh(ParallelConfig(devices=1)), "jit")
    state = engine.place(built.create_state(0))
    window = engine.place(engine.empty_totals(state))

    def steps(count: int) -> None:
        nonlocal state
        assert count == engine.plan.total_steps
        state, _ = fit(engine, state, _Log(), window=window)
        jax.block_until_ready(state)

    return steps


class _Log:
    """Callbacks that fetch the metrics, as every log point does, and discard them."""

    def progress(self, step: int) -> None:
        """Does nothing."""

    def log(self, step: int, window: metrics.Totals) -> None:
        """Waits for the metrics."""
        window.means()

    def evaluate(self, step: int, state: State) -> bool:
        """Does nothing: only training is timed."""
        return False

    def checkpoint(self, step: int, state: State, window: metrics.Totals) -> None:
        """Does nothing."""


def _bare_step(built: build.ArrayExperiment) -> Steps:
    train_step = jax.jit(make_train_step(built.settings), donate_argnums=0)
    state = built.create_state(0)
    size = built.config.train.batch_size
    split = built.dataset.train
    batch = {
        "inputs": jax.device_put(split.inputs[:size]),
        "labels": jax.device_put(built.train_labels[:size]),
        "true_labels": jax.device_put(split.labels[:size]),
        "where": None,
    }

    def steps(count: int) -> None:
        nonlocal state
        for _ in range(count):
            state, _ = train_step(state, batch)
        jax.block_until_ready(state)

    return steps
