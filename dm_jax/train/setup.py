"""The setup that all runs share, whether their data are in memory or streamed."""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from dm_jax import data, emphasis, models, noise
from dm_jax.data import StreamedDataset
from dm_jax.loss_arguments import Normalization
from dm_jax.models import pretrained
from dm_jax.train import config as config_lib
from dm_jax.train import optimizers, schedules
from dm_jax.train import state as state_lib
from dm_jax.train.plan import Plan
from dm_jax.train.step import StepSettings

_NORMALIZATIONS: dict[str, Normalization] = {"batch": "batch", "density": "density", "none": None}
# Steps in one compiled call where steps are scanned.
_MAX_STEPS_PER_CALL = 1000


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class Experiment:
    """A resolved config.

    Attributes:
      config: as given.
      dataset: the data set.
      corruption: of the training labels.
      settings: static settings of a step.
      edf: the EDF at the start of training.
      plan: length and intervals.
      learning_rate: as a function of the step.
    """

    config: config_lib.Config
    dataset: data.Dataset | StreamedDataset
    corruption: noise.Corruption
    settings: StepSettings
    edf: emphasis.EDF
    plan: Plan
    learning_rate: schedules.Schedule

    def __repr__(self) -> str:
        network, length = self.config.model.name, f"{self.plan.total_steps} steps"
        data = f"{self.dataset.name}, {self.corruption}"
        return f"{type(self).__name__}({data}, {self.edf}, {network}, {length})"

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of a batch of one training input."""
        raise NotImplementedError

    def create_state(self, seed: Any, *, pretrained: bool = True) -> state_lib.State:
        """The state before the first step.

        Args:
          seed: int or traced uint32.
          pretrained: whether to read the file of weights, if the config names one.
        """
        return state_lib.create(
            self.settings.model,
            self.settings.optimizer,
            self.edf,
            seed=seed,
            inputs=jax.eval_shape(self.settings.preprocess, self.example),
            pretrained=self.config.model.pretrained if pretrained else "",
        )


def resolve(
    config: config_lib.Config,
    dataset: data.Dataset | StreamedDataset,
    corruption: noise.Corruption,
    *,
    examples: int,
    augment: bool,
) -> Experiment:
    """The parts of a run that do not depend on how its data are stored.

    Args:
      config: the run's config.
      dataset: for its classes and its statistics.
      corruption: of its training labels.
      examples: number of examples in an epoch.
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
    factor = schedules.learning_rate_factor(config.schedule, total_steps=total, duration=duration)
    edf = create_edf(config.loss)
    edf_schedules = {}
    if config.loss.schedule:
        length = steps("loss.schedule_length")
        edf_schedules = schedules.edf_transitions(
            config.loss, edf, total_steps=total, length=length
        )
    elif duration(config.loss.schedule_length):
        raise ValueError(
            f"config.loss.schedule_length is {config.loss.schedule_length!r}, but nothing is "
            "scheduled: config.loss.schedule must name a parameter and its last value"
        )
    return Experiment(
        config=config,
        dataset=dataset,
        corruption=corruption,
        settings=_step_settings(config, dataset, factor, edf_schedules, augment),
        edf=edf,
        plan=Plan(
            total_steps=total,
            log_every=steps("train.log_every"),
            evaluate_every=steps("train.evaluate_every"),
            checkpoint_every=steps("train.checkpoint_every"),
            max_steps_per_call=_MAX_STEPS_PER_CALL,
        ),
        learning_rate=lambda step: config.optimizer.learning_rate * factor(step),
    )


def create_edf(config: config_lib.LossConfig) -> emphasis.EDF:
    """The emphasis density function of a config, at the start of training.

    Raises:
      ValueError: as `emphasis.create`, or a custom scheme with a parameter that no config can set.
      TypeError: as `emphasis.create`.
    """
    try:
        edf = emphasis.create(config.name, **config.parameters)
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"config.loss: {error}") from error
    for field in dataclasses.fields(edf):  # type: ignore[arg-type]
        if field.name in config_lib.LOSS_KEYS:
            raise ValueError(
                f"{config.name}: in a config, a parameter cannot be called {field.name!r}, which "
                "is a key of config.loss; rename it"
            )
    return edf


def create_model(config: config_lib.ModelConfig, num_classes: int) -> models.Network:
    """The network of a config."""
    return models.create(
        config.name,
        num_classes=num_classes,
        dtype=config.dtype,
        dropout=config.dropout,
        **config.parameters,
    )


def _step_settings(
    config: config_lib.Config,
    dataset: data.Dataset | StreamedDataset,
    factor: schedules.Schedule,
    edf_schedules: dict[str, schedules.Schedule],
    augment: bool,
) -> StepSettings:
    loss = config.loss
    if loss.class_weights and len(loss.class_weights) != dataset.num_classes:
        raise ValueError(
            f"config.loss.class_weights must have one weight for each of the "
            f"{dataset.num_classes} classes, got {len(loss.class_weights)}"
        )
    bad = any(not 0 <= weight < math.inf for weight in loss.class_weights)
    if bad or (loss.class_weights and not any(loss.class_weights)):
        raise ValueError(
            "config.loss.class_weights must be finite and at least 0, one of them above 0, got "
            f"{loss.class_weights}"
        )
    if config.model.pretrained and config.model.name not in pretrained.NETWORKS:
        raise ValueError(
            f"config.model.pretrained is for {', '.join(pretrained.NETWORKS)}, whose files have "
            f"known names; got model {config.model.name!r}"
        )
    if config.model.pretrained and len(dataset.mean) != 3:
        raise ValueError(
            "config.model.pretrained is for images of three channels; those of "
            f"{dataset.name} have {len(dataset.mean)}"
        )
    # Pretrained weights expect images of ImageNet's statistics, which all streamed sets have.
    normalized_as = StreamedDataset if config.model.pretrained else dataset
    return StepSettings(
        model=create_model(config.model, dataset.num_classes),
        optimizer=optimizers.create(config.optimizer, factor),
        mean=normalized_as.mean,
        std=normalized_as.std,
        dtype=jnp.dtype(config.model.dtype),
        augment=augment,
        normalization=_NORMALIZATIONS[loss.normalization],
        saturation=loss.saturation,
        class_weights=loss.class_weights,
        edf_schedules=edf_schedules,
    )


def _steps(config: config_lib.Config, duration: Callable[[str], int], path: str) -> int:
    """The duration config.PATH in steps, at least one."""
    text = config_lib.get(config, path)
    found = duration(text)
    if found < 1:
        raise ValueError(f"config.{path} must be at least one step, got {text!r}")
    return found
