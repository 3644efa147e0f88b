"""One training step and one evaluation step, as pure functions of a state and a batch.

The same functions serve one device, sharded jit, pmap (`axis_name`) and populations (vmap): those
are wrappers (`dm_jax.train.parallel`, `dm_jax.train.population`).
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import flax.linen as nn
import jax
import jax.flatten_util
import jax.numpy as jnp
import numpy as np
import optax

from dm_jax import losses as losses_lib
from dm_jax import metrics
from dm_jax.data import augment
from dm_jax.loss_arguments import Normalization
from dm_jax.train.schedules import Schedule
from dm_jax.train.state import State

Batch = Mapping[str, Any]  # arrays; `where` may be None
# Weight of the loss of each auxiliary head, if a network has them (Szegedy et al. 2015, section 5).
AUXILIARY_WEIGHT = 0.3


@dataclasses.dataclass(frozen=True, eq=False)
class StepSettings:
    """The static settings of a step.

    Attributes:
      model: a Flax module; cloned with `axis_name` for pmap.
      optimizer: an optax transformation.
      mean, std: [channels], of inputs scaled to [0, 1]; images are normalised by them.
      dtype: of the inputs the network sees.
      augment: whether training images are cropped and flipped.
      normalization, saturation, class_weights: of `dm_softmax_cross_entropy`.
      edf_schedules: EDF parameter -> its value as a function of the step.
    """

    model: nn.Module
    optimizer: optax.GradientTransformation
    mean: np.ndarray
    std: np.ndarray
    dtype: Any = jnp.float32
    augment: bool = False
    normalization: Normalization = "batch"
    saturation: float = 1e-6
    class_weights: tuple[float, ...] = ()
    edf_schedules: Mapping[str, Schedule] = dataclasses.field(default_factory=dict)

    def preprocess(self, inputs: jax.Array) -> jax.Array:
        """The network's inputs: images normalised per channel; features stay as they are."""
        return augment.normalize(inputs, self.mean, self.std, self.dtype)


def many_steps(train_step):
    """Returns `steps(state, data, block) -> (state, Totals)`, one step per batch of the block.

    `data` holds whole arrays on the device, and a block {"index": [k, B], "where": [k, B] or None}
    indexes their rows; without data (None) the block holds the batches themselves. Several steps
    are one `lax.scan`. Never scan a convolution on the CPU: XLA falls back to a naive kernel there
    (jax issue 12868), so callers pass blocks of one batch.
    """

    def steps(state: State, data: Batch | None, block: Batch):
        """One step for each batch of the block."""
        if len(jax.tree.leaves(block)[0]) == 1:
            return train_step(state, _assemble(data, jax.tree.map(lambda x: x[0], block)))
        state, totals = jax.lax.scan(
            lambda state, rows: train_step(state, _assemble(data, rows)), state, block
        )
        return state, totals.sum_steps()

    return steps


def many_evaluations(evaluate_step):
    """Returns `evaluate(state, data, block) -> Totals` over the batches; see `many_steps`."""

    steps = many_steps(lambda state, batch: (state, evaluate_step(state, batch)))
    return lambda state, data, block: steps(state, data, block)[1]


def _assemble(data: Batch | None, rows: Batch) -> Batch:
    if data is None:
        return rows
    batch = {name: array[rows["index"]] for name, array in data.items()}
    return batch | {"where": rows["where"]}


def make_train_step(settings: StepSettings, *, axis_name: str | None = None):
    """Returns `train_step(state, batch) -> (state, Totals)`.

    A batch holds inputs [B, ...] (uint8 images or float features), labels and true_labels [B] int,
    and where [B] bool or None: examples outside it have no effect, not even on BatchNorm.
    With `axis_name` the batch is one device's part, and all sums run over that axis.
    """
    model = settings.model.clone(axis_name=axis_name)

    def train_step(state: State, batch: Batch) -> tuple[State, metrics.Totals]:
        """The state after one batch, and the batch's sums."""
        edf = _scheduled(state.edf, settings.edf_schedules, state.step)
        augment_key, dropout_key = jax.random.split(jax.random.fold_in(state.rng, state.step))
        inputs = _augmented(settings, batch["inputs"], augment_key, axis_name)
        inputs = settings.preprocess(inputs)

        def objective(params):
            """The mean loss over all heads, and (losses, logits, new batch statistics)."""
            logits, mutated = model.apply(
                {"params": params, "batch_stats": state.batch_stats},
                inputs,
                train=True,
                where=batch["where"],
                rngs={"dropout": dropout_key},
                mutable=["batch_stats", "auxiliary"],
            )
            losses = _losses(settings, logits, edf, batch, axis_name)
            heads = jax.tree.leaves(mutated.get("auxiliary", {}))
            auxiliary = (_losses(settings, head, edf, batch, axis_name) for head in heads)
            summed = sum((AUXILIARY_WEIGHT * one for one in auxiliary), start=losses)
            mean = summed.sum() / jnp.maximum(_count(batch, axis_name), 1)
            return mean, (losses, logits, mutated.get("batch_stats", {}))

        gradient, (losses, logits, batch_stats) = jax.grad(objective, has_aux=True)(state.params)
        gradient = _sum_tree(gradient, axis_name)
        updates, opt_state = settings.optimizer.update(gradient, state.opt_state, state.params)
        examples = metrics.Examples.of(losses, logits, batch, axis_name)
        totals = metrics.prediction_totals(examples).union(metrics.emphasis_totals(examples, edf))
        totals = totals.flag_nonfinite(state.step)
        state = dataclasses.replace(
            state,
            step=state.step + 1,
            params=optax.apply_updates(state.params, updates),
            batch_stats=batch_stats,
            opt_state=opt_state,
            edf=edf,
        )
        return state, totals

    return train_step


def make_evaluate_step(settings: StepSettings, *, axis_name: str | None = None):
    """Returns `evaluate_step(state, batch) -> Totals`: loss and accuracy, deterministic."""
    model = settings.model.clone(axis_name=axis_name)

    def evaluate_step(state: State, batch: Batch) -> metrics.Totals:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        logits = model.apply(variables, settings.preprocess(batch["inputs"]), train=False)
        losses = optax.softmax_cross_entropy_with_integer_labels(logits, batch["labels"])
        return metrics.prediction_totals(metrics.Examples.of(losses, logits, batch, axis_name))

    return evaluate_step


def _scheduled(edf, schedules: Mapping[str, Schedule], step: jax.Array):
    values = {
        name: jnp.asarray(schedule(step), getattr(edf, name).dtype)
        for name, schedule in schedules.items()
    }
    return edf.replace(**values) if values else edf


def _augmented(
    settings: StepSettings, images: jax.Array, key: jax.Array, axis_name: str | None
) -> jax.Array:
    if not settings.augment:
        return images
    # Keys are numbered over the global batch, so that sharding does not change the draws.
    first = jax.lax.axis_index(axis_name) * len(images) if axis_name else 0
    keys = augment.example_keys(key, first, len(images))
    return augment.random_flip(augment.random_crop(images, keys), keys)


def _count(batch: Batch, axis_name: str | None) -> Any:
    """The number of examples of the whole batch that are in `where`."""
    where = batch["where"]
    size = len(batch["labels"]) if where is None else where.sum()
    return size if axis_name is None else jax.lax.psum(size, axis_name)


def _losses(settings: StepSettings, logits, edf, batch: Batch, axis_name: str | None) -> jax.Array:
    return losses_lib.dm_softmax_cross_entropy(
        logits,
        batch["labels"],
        edf,
        normalization=settings.normalization,
        where=batch["where"],
        axis_name=axis_name,
        saturation=settings.saturation,
        class_weights=jnp.asarray(settings.class_weights) if settings.class_weights else None,
    )


def _sum_tree(tree, axis_name: str | None):
    """Sums a tree over the axis as one flat vector: one collective, however many leaves."""
    if axis_name is None:
        return tree
    flat, unravel = jax.flatten_util.ravel_pytree(tree)
    return unravel(jax.lax.psum(flat, axis_name))
