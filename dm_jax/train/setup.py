"""What every run has before its first step, whether its data lie in memory or are streamed."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dm_jax import data, emphasis, errors, fields, models, noise
from dm_jax.data.streamed import StreamedDataset
from dm_jax.losses import Normalization
from dm_jax.models import pretrained
from dm_jax.train import config as config_lib
from dm_jax.train import optimizers
from dm_jax.train import state as state_lib
from dm_jax.train.loop import Plan
from dm_jax.train.step import Task

_NORMALIZATIONS: dict[str, Normalization] = {"batch": "batch", "density": "density", "none": None}
# Steps in one compiled call where steps are scanned.
_SCANNED = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Setup:
    """A config, resolved.

    Attributes:
      config: as given.
      training: how the training labels were corrupted.
      task: what a step is built from.
      edf: at the start.
      plan: when things happen.
      learning_rate: as a function of the step.
    """

    config: config_lib.Config
    training: noise.Corruption
    task: Task
    edf: emphasis.EDF
    plan: Plan
    learning_rate: optimizers.Schedule

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of a batch of one training input."""
        raise NotImplementedError

    def create_state(self, seed: Any) -> state_lib.State:
        """The state before the first step, for a seed (int or traced uint32)."""
        return state_lib.create(
            self.task.model,
            self.task.optimizer,
            self.edf,
            seed=seed,
            inputs=jax.eval_shape(self.task.preprocess, self.example),
            pretrained=self.config.model.pretrained,
        )


def resolve(
    config: config_lib.Config,
    dataset: data.Dataset | StreamedDataset,
    training: noise.Corruption,
    *,
    examples: int,
    augment: bool,
) -> Setup:
    """The parts of a run that do not depend on where its data lie.

    Args:
      config: of the run.
      dataset: for its classes and its statistics.
      training: the corruption of its training labels.
      examples: in an epoch.
      augment: whether the step itself crops and flips.
    """
    duration = functools.partial(
        config_lib.steps,
        examples=examples,
        batch_size=config.train.batch_size,
        last_batch=config.data.last_batch,
    )
    steps = functools.partial(_steps, config, duration)
    total = steps("train.length")
    factor = optimizers.schedule(config.schedule, total_steps=total, duration=duration)
    edf = emphasis.create(config.loss.name, **config.loss.parameters)
    moving = _moving(config, edf, total, steps) if config.loss.schedule else {}
    return Setup(
        config=config,
        training=training,
        task=_task(config, dataset, factor, moving, augment),
        edf=edf,
        plan=Plan(
            total=total,
            log=steps("train.log_every"),
            evaluate=steps("train.evaluate_every"),
            checkpoint=steps("train.checkpoint_every"),
            most=_SCANNED,
        ),
        learning_rate=lambda step: config.optimizer.learning_rate * factor(step),
    )


def _task(
    config: config_lib.Config,
    dataset: data.Dataset | StreamedDataset,
    factor: optimizers.Schedule,
    edf_schedules: dict[str, optimizers.Schedule],
    augment: bool,
) -> Task:
    dtype = jnp.dtype(config.model.dtype)
    loss = config.loss
    if loss.class_weights and len(loss.class_weights) != dataset.num_classes:
        raise ValueError(
            f"config.loss.class_weights must have one weight for each of the "
            f"{dataset.num_classes} classes, got {len(loss.class_weights)}"
        )
    if any(not 0 <= weight < math.inf for weight in loss.class_weights):
        raise ValueError(
            f"config.loss.class_weights must be finite and at least 0, got {loss.class_weights}"
        )
    if config.model.pretrained and config.model.name not in pretrained.NETWORKS:
        raise ValueError(
            f"config.model.pretrained is for {', '.join(pretrained.NETWORKS)}, whose files have "
            f"known names; got model {config.model.name!r}"
        )
    return Task(
        model=models.create(
            config.model.name,
            num_classes=dataset.num_classes,
            dtype=dtype,
            dropout=config.model.dropout,
            **config.model.parameters,
        ),
        optimizer=optimizers.create(config.optimizer, factor),
        mean=dataset.mean,
        std=dataset.std,
        dtype=dtype,
        augment=augment,
        normalization=_NORMALIZATIONS[loss.normalization],
        saturation=loss.saturation,
        class_weights=loss.class_weights,
        edf_schedules=edf_schedules,
    )


def _steps(config: config_lib.Config, duration: Callable[[str], int], path: str) -> int:
    """The duration config.PATH in steps, at least one."""
    text = config_lib.get(config, path)
    try:
        found = duration(text)
    except ValueError as error:
        raise ValueError(f"config.{path}: {error}") from None
    if found < 1:
        raise ValueError(f"config.{path} must be at least one step, got {text!r}")
    return found


def _moving(
    config: config_lib.Config, edf: emphasis.EDF, total: int, steps: Callable[[str], int]
) -> dict[str, optimizers.Schedule]:
    """Parameter -> from its value to the scheduled one ("cosine 2.0"), within `total` steps."""
    loss = config.loss
    starts = fields.values(edf)
    for name in loss.schedule:
        if name not in starts:
            raise errors.unknown(f"scheduled parameter of {loss.name}:", name, starts)
    ends = {name: _shape_and_end(name, target) for name, target in loss.schedule.items()}
    values = {name: end for name, (_, end) in ends.items()}
    emphasis.create(loss.name, **{**loss.parameters, **values})  # in range at the end too
    length = steps("loss.schedule_length")
    if length > total:
        raise ValueError(
            f"config.loss.schedule_length: step {length} lies after the training of {total}"
        )
    return {
        name: optimizers.moving(starts[name], end, length, shape=shape)
        for name, (shape, end) in ends.items()
    }


def _shape_and_end(name: str, target: Any) -> tuple[str, float]:
    """Of 2.0 or "cosine 2.0"; a bare number is approached linearly."""
    shape, _, number = target.rpartition(" ") if isinstance(target, str) else ("", "", target)
    try:
        return shape or "linear", float(number)
    except (TypeError, ValueError):
        raise ValueError(
            f"config.loss.schedule.{name} must read like 2.0 or 'cosine 2.0', got {target!r}"
        ) from None
