"""A small network with everything that sharding could change, on the digits, for these tests."""

import contextlib
import dataclasses
import math
import re
import resource
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from configs import digits
from dm_jax.models.layers import Classifier, ConvNorm, global_mean
from dm_jax.train import build, parallel
from dm_jax.train.array_engine import ArrayEngine
from dm_jax.train.config import Config, ParallelConfig


class Net(nn.Module):
    """Two convolutions with BatchNorm, and dropout before the classifier."""

    dtype: Any = jnp.float32
    axis_name: str | None = None
    dropout: float = 0.2
    classes: int = 10

    @nn.compact
    def __call__(self, x, train=False, where=None):
        x = ConvNorm(8, 3, axis_name=self.axis_name, dtype=self.dtype)(x, train, where)
        x = ConvNorm(8, 3, 2, axis_name=self.axis_name, dtype=self.dtype)(x, train, where)
        return Classifier(self.classes, self.dropout, self.axis_name)(global_mean(x), train)


def config(**changes: Any) -> Config:
    """The digits' config for 20 steps; changes read `train__length="5 steps"`.

    `loss={...}` replaces the scheme and its parameters.
    """
    values = digits.get_config("lam=0.5,beta=20")
    if "loss" in changes:
        del values.loss.lam, values.loss.beta
        values.loss.update(changes.pop("loss"))
    values.train.length = values.train.log_every = values.train.evaluate_every = "20 steps"
    for path, value in changes.items():
        group, _, key = path.rpartition("__")
        (values[group] if group else values)[key] = value
    return Config.parse(values)


def experiment(**changes: Any) -> build.ArrayExperiment:
    """`Net` with BatchNorm, batch DN, augmentation, dropout and a padded last batch."""
    changes = {"data__augment": "crop_flip", "data__last_batch": "mask"} | changes
    changes = {"train__batch_size": 200, "train__evaluate_batch": 100} | changes
    built = build.experiment(config(**changes))
    net = Net(dtype=built.settings.dtype)
    return dataclasses.replace(built, settings=dataclasses.replace(built.settings, model=net))


def engine(built: build.ArrayExperiment, mode: str = "jit", devices: int = 1) -> ArrayEngine:
    return ArrayEngine([built], parallel.make_mesh(ParallelConfig(devices=devices)), mode)


def train(running: ArrayEngine, state=None, *, begin: int = 0, end: int | None = None):
    """(state, merged totals) after the steps begin .. end - 1."""
    built = running.experiment
    state = running.place(built.create_state(built.config.seed) if state is None else state)
    totals = running.place(running.empty_totals(state))
    for first, last in running.plan.blocks(begin):
        if end is not None and first >= end:
            break
        state, part = running.advance(state, running.block(first, last))
        totals = totals.add(part)
    return state, totals


@contextlib.contextmanager
def file_size_limit(size: int):
    """A limit on the size of every file, which stands for a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def distance(a: Any, b: Any) -> float:
    """Norm of the difference of two trees of floats over the norm of the first."""
    x, y = (np.concatenate([np.ravel(leaf) for leaf in jax.tree.leaves(t)]) for t in (a, b))
    return float(np.linalg.norm(x - y) / np.linalg.norm(x))


def collectives(lowered: jax.stages.Lowered) -> list[tuple[str, list[int]]]:
    """(operation, elements of each operand) of every collective of the compiled program."""
    names = r"all-reduce|all-gather|all-to-all|ragged-all-to-all|reduce-scatter|collective-[a-z]+"
    text = lowered.compile().as_text().replace("/*", "(*")
    return [
        (operation, [_elements(dimensions) for dimensions in re.findall(r"\w\[([\d,]*)\]", shapes)])
        for shapes, operation in re.findall(rf"= (.+?) ({names})(?:-start)?\(%", text)
    ]


def _elements(dimensions: str) -> int:
    return math.prod(int(size) for size in dimensions.split(",") if size)
