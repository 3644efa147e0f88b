"""From a config to everything a run needs before its first step."""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dm_jax import data, emphasis, errors, models, noise
from dm_jax.losses import Normalization
from dm_jax.train import config as config_lib
from dm_jax.train import optimizers
from dm_jax.train import state as state_lib
from dm_jax.train.loop import Plan
from dm_jax.train.sampler import Sampler
from dm_jax.train.step import Task

_NORMALIZATIONS: dict[str, Normalization] = {"batch": "batch", "density": "density", "none": None}
# Steps in one compiled call where steps are scanned.
_SCANNED = 1000


@dataclasses.dataclass(frozen=True, eq=False)
class Experiment:
    """A config, resolved.

    Attributes:
      config: as given.
      dataset: in memory.
      training, validation: corruptions of the two parts; no validation if none is held out.
      task: what a step is built from.
      edf: at the start.
      sampler: which rows of the training set each step sees.
      plan: when things happen.
      learning_rate: as a function of the step.
    """

    config: config_lib.Config
    dataset: data.Dataset
    training: noise.Corruption
    validation: noise.Corruption | None
    task: Task
    edf: emphasis.EDF
    sampler: Sampler
    plan: Plan
    learning_rate: optimizers.Schedule

    @property
    def train_labels(self) -> np.ndarray:
        """int32 [n]: the label given to every training row (validation labels where held out)."""
        labels = self.dataset.train.labels.copy()
        for part in (self.training, self.validation):
            if part is not None:
                labels[part.kept] = part.labels
        return labels

    @property
    def evaluated(self) -> dict[str, tuple[str, np.ndarray]]:
        """{name: (split of the data set, rows)} of what can be evaluated."""
        sets = {"train": ("train", self.training.kept)}
        if self.config.data.test:
            sets["test"] = ("test", np.arange(len(self.dataset.test)))
        if self.validation is not None:
            sets["validation"] = ("train", self.validation.kept)
        return sets

    def create_state(self, seed: Any) -> state_lib.State:
        """The state before the first step, for a seed (int or traced uint32)."""
        example = self.dataset.train.inputs[:1]
        inputs = jax.eval_shape(
            self.task.preprocess, jax.ShapeDtypeStruct(example.shape, example.dtype)
        )
        return state_lib.create(
            self.task.model, self.task.optimizer, self.edf, seed=seed, inputs=inputs
        )


def experiment(config: config_lib.Config, dataset: data.Dataset | None = None) -> Experiment:
    """Loads, corrupts and builds; nothing is computed on a device yet.

    Args:
      config: of the run.
      dataset: spares loading it again.
    """
    dataset = dataset or data.load(config.data.name, data_dir=config.data.data_dir or None)
    training, validation = corruption(config, dataset)
    steps = functools.partial(
        config_lib.steps, examples=len(training.kept), batch_size=config.train.batch_size
    )
    total = steps(config.train.length)
    factor = optimizers.schedule(
        config.schedule,
        total_steps=total,
        examples=len(training.kept),
        batch_size=config.train.batch_size,
    )
    return Experiment(
        config=config,
        dataset=dataset,
        training=training,
        validation=validation,
        task=_task(config, dataset, factor, steps(config.loss.schedule_length)),
        edf=emphasis.create(config.loss.name, **config.loss.parameters),
        sampler=Sampler(
            training.kept, config.train.batch_size, config.seed, config.data.last_batch
        ),
        plan=Plan(
            total=total,
            log=steps(config.train.log_every),
            evaluate=steps(config.train.evaluate_every),
            checkpoint=steps(config.train.checkpoint_every),
            most=_SCANNED,
        ),
        learning_rate=lambda step: config.optimizer.learning_rate * factor(step),
    )


def corruption(
    config: config_lib.Config, dataset: data.Dataset
) -> tuple[noise.Corruption, noise.Corruption | None]:
    """The corruptions of the training and the held-out part (None if nothing is held out)."""
    whole = noise.corrupt(
        dataset.train.labels,
        num_classes=dataset.num_classes,
        superclasses=dataset.superclasses,
        inputs=dataset.train.inputs,
        human_labels=dataset.human_labels,
        **dataclasses.asdict(config.noise),
    )
    if not config.data.validation:
        return whole, None
    return noise.hold_out(
        whole,
        dataset.train.labels,
        fraction=config.data.validation,
        seed=config.noise.seed,
        validation_labels=config.data.validation_labels,
    )


def _task(
    config: config_lib.Config,
    dataset: data.Dataset,
    factor: optimizers.Schedule,
    edf_schedule_length: int,
) -> Task:
    dtype = jnp.dtype(config.model.dtype)
    loss = config.loss
    if loss.class_weights and len(loss.class_weights) != dataset.num_classes:
        raise ValueError(
            f"config.loss.class_weights must have one weight for each of the "
            f"{dataset.num_classes} classes, got {len(loss.class_weights)}"
        )
    if config.data.augment != "none" and dataset.train.inputs.ndim == 2:
        raise ValueError(f"config.data.augment is for images; {dataset.name} has features")
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
        augment=config.data.augment == "crop_flip",
        normalization=_NORMALIZATIONS[loss.normalization],
        saturation=loss.saturation,
        class_weights=loss.class_weights,
        edf_schedules=_edf_schedules(loss, edf_schedule_length),
    )


def _edf_schedules(loss: config_lib.LossConfig, length: int):
    """Parameter -> linear from its value to the scheduled one over `length` steps."""
    for name in loss.schedule:
        if name not in loss.parameters:
            raise errors.unknown(f"scheduled parameter of {loss.name}:", name, loss.parameters)
    return {
        name: optimizers.linear(loss.parameters[name], final, length)
        for name, final in loss.schedule.items()
    }
