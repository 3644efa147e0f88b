"""Training and evaluation on data in memory, of one experiment or of a population.

A population is `jax.vmap` of the same steps over a leading axis of members. What all members share
(the inputs and, for equal seeds, the order of the batches) is not copied, so that they also share
the first matrix product.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from dm_jax import metrics
from dm_jax.train import parallel
from dm_jax.train.build import ArrayExperiment
from dm_jax.train.engine import Engine, as_ready
from dm_jax.train.sampler import Sampler, in_order
from dm_jax.train.state import State


class ArrayEngine(Engine):
    """Trains on arrays that stay on the devices; a block holds the indices of its rows.

    Attributes:
      experiments: one, or the members of a population (`dm_jax.train.population`).
      population: whether state and totals have a leading axis of members.
      scans: whether one call scans several steps; not for convolutions on the CPU.
    """

    experiment: ArrayExperiment

    def __init__(
        self,
        experiments: Sequence[ArrayExperiment],
        mesh: Mesh,
        mode: str,
        *,
        population: bool = False,
    ):
        if population and mode == "pmap":
            raise ValueError("a population needs parallel mode 'jit', got 'pmap'")
        self.population = population  # before the steps are compiled
        self.scans = jax.default_backend() != "cpu" or not _convolves(experiments[0])
        plan = experiments[0].plan
        if not self.scans:
            plan = dataclasses.replace(plan, max_steps_per_call=1)
        super().__init__(experiments[0], mesh, mode, plan)
        self.experiments = experiments
        self._samplers = _distinct([experiment.sampler for experiment in experiments])
        self._data = {split: self._split_on_devices(split) for split in ("train", "test")}
        self._train_data = self._data["train"]
        self._evaluation = {
            name: self._evaluation_blocks(name) for name in experiments[0].evaluated
        }

    def block(self, begin: int, end: int) -> Any:
        """The block of steps begin .. end - 1, on the devices."""
        batches = [sampler.batches(begin, end) for sampler in self._samplers]
        return self._sharded([index for index, _ in batches], [where for _, where in batches])

    def example_block(self) -> Any:
        """The first block."""
        return self.block(0, self.plan.steps_per_call)

    def evaluate_all(self, state: State, *, last: bool) -> dict[str, Any]:
        """{"test_accuracy": ...} of all sets; of the training set (`fit_*`) only if `last`."""
        values: dict[str, Any] = {}
        for name in self._evaluation:
            if name == "train" and not last:
                continue
            prefix = "fit" if name == "train" else name
            means = self._evaluate_one(state, name)
            values |= {f"{prefix}_{key}": value for key, value in means.items()}
        return values

    def place(self, tree: Any) -> Any:
        """Replicates state or totals on every device; shards a population's over the run axis."""
        place = parallel.shard_members if self.population else parallel.replicate
        return place(tree, self._placement)

    def close(self) -> None:
        """Does nothing, as the data are in memory."""

    def _evaluate_one(self, state: State, name: str) -> dict[str, Any]:
        """Exact means over the rows of `ArrayExperiment.evaluated[name]`."""
        split, blocks = self._evaluation[name]
        parts = (self._evaluate(state, self._data[split], block) for block in blocks)
        return functools.reduce(metrics.Totals.add, as_ready(parts)).means()

    def _compile(
        self, make_step: Callable[..., Any], many: Callable[..., Any], *, donate: bool
    ) -> Any:
        if not self.population:
            return super()._compile(make_step, many, donate=donate)
        steps = many(make_step(self.experiment.settings))
        return parallel.compile_step(
            lambda axis_name: _over_members(steps), self.mesh, "jit", donate=donate, members=True
        )

    def _split_on_devices(self, split: str) -> dict[str, jax.Array]:
        arrays = getattr(self.experiment.dataset, split)
        true_labels = parallel.replicate(arrays.labels, self._placement)
        data = {
            "inputs": parallel.replicate(arrays.inputs, self._placement),
            "labels": true_labels,
            "true_labels": true_labels,
        }
        if split == "train" and self.population:
            labels = np.stack([experiment.train_labels for experiment in self.experiments])
            data["labels"] = parallel.shard_members(labels, self._placement)
        elif split == "train":
            data["labels"] = parallel.replicate(self.experiment.train_labels, self._placement)
        return data

    def _evaluation_blocks(self, name: str) -> tuple[str, list[Any]]:
        """The split and the blocks to evaluate: one of all batches, or one per batch."""
        split, rows = self.experiment.evaluated[name]
        each = _distinct([experiment.evaluated[name][1] for experiment in self.experiments])
        devices = self.mesh.shape[parallel.DATA]
        size = min(self.experiment.config.train.evaluate_batch, len(rows))
        index, where = in_order(len(rows), -(-size // devices) * devices)
        count = len(index) if self.scans else 1
        return split, [
            self._sharded([r[index[i : i + count]] for r in each], [where[i : i + count]])
            for i in range(0, len(index), count)
        ]

    def _sharded(self, index: list[np.ndarray], where: list[np.ndarray | None]) -> Any:
        block = {"index": _stacked(index).astype(np.int32), "where": where[0]}
        return parallel.shard_block(block, self.mesh, self.mode)


def _convolves(experiment: ArrayExperiment) -> bool:
    """Whether the network has convolutions, of any rank: its initialisation traces all of it."""
    program = jax.make_jaxpr(lambda: experiment.create_state(0, pretrained=False))()
    return "conv_general_dilated" in str(program)


def _over_members(steps):
    """vmap of `steps` over R members.

    The S distinct batch orders of the block are an outer vmap, so members with the same order
    gather their inputs once (R / S members per order).
    """

    def mapped(state, data, block):
        """`steps` with a leading axis of members in the state and the totals."""
        orders = block["index"].shape[1] if block["index"].ndim == 3 else 1
        own_labels = data["labels"].ndim == 2
        data_axes = {"inputs": None, "labels": 0 if own_labels else None, "true_labels": None}
        block_axes = {"index": 1 if block["index"].ndim == 3 else None, "where": None}
        inner = jax.vmap(steps, in_axes=(0, data_axes, None))
        outer = jax.vmap(inner, in_axes=(0, data_axes, block_axes), axis_size=orders)
        if own_labels:
            data = data | {"labels": _by_order(data["labels"], orders)}
        result = outer(jax.tree.map(lambda x: _by_order(x, orders), state), data, block)
        return jax.tree.map(lambda x: x.reshape(-1, *x.shape[2:]), result)

    return mapped


def _by_order(array: jax.Array, orders: int) -> jax.Array:
    return array.reshape(orders, -1, *array.shape[1:])


def _distinct(values: list[Any]) -> list[Any]:
    """The distinct values, if equal values are in runs of equal length; else all values."""
    starts = [i for i, value in enumerate(values) if i == 0 or not _same(values[i - 1], value)]
    run, rest = divmod(len(values), len(starts))
    regular = rest == 0 and starts == list(range(0, len(values), run))
    return [values[i] for i in starts] if regular else values


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, Sampler):
        return a.seed == b.seed and np.array_equal(a.indices, b.indices)
    return np.array_equal(a, b)


def _stacked(arrays: list[np.ndarray]) -> np.ndarray:
    """A single array [k, B] unchanged; several stacked to [k, orders, B]."""
    return arrays[0] if len(arrays) == 1 else np.stack(arrays, axis=1)
