"""The optimisers and schedules of the tables, through optax.

Learning rate and weight decay are leaves of the optimiser's state (`optax.inject_hyperparams`), so
the members of a population may differ in them; the schedule is a factor on the learning rate.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax

from dm_jax import errors
from dm_jax.train import config as config_lib

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]


def schedule(
    config: config_lib.ScheduleConfig, *, total_steps: int, duration: Callable[[str], int]
) -> Schedule:
    """The factor on the learning rate as a function of the step.

    Args:
      config: "steps" multiplies by `factor` at each of `boundaries`; "inv" is Caffe's
        (1 + gamma * step) ** -power; "cosine" falls to 0 at `total_steps`. `warmup` rises linearly
        from 0 and multiplies any of them.
      total_steps: length of the run.
      duration: "N epochs" and the like as a number of steps (`config.steps`).

    Raises:
      ValueError: boundaries that do not rise, or that end, like the warm-up, after training does.
    """
    boundaries = [duration(text) for text in config.boundaries]
    warmup = duration(config.warmup)
    if sorted(set(boundaries)) != boundaries:
        raise ValueError(f"config.schedule.boundaries must rise, got {config.boundaries}")
    for name, step in [("boundaries", s) for s in boundaries] + [("warmup", warmup)]:
        if step > total_steps:
            raise ValueError(
                f"config.schedule.{name}: step {step} lies after the training of {total_steps}"
            )
    base = {
        "constant": lambda step: jnp.ones_like(step, jnp.float32),
        "steps": optax.piecewise_constant_schedule(1.0, dict.fromkeys(boundaries, config.factor)),
        "inv": lambda step: (1.0 + config.gamma * step) ** -config.power,
        "cosine": optax.cosine_decay_schedule(1.0, max(total_steps, 1)),
    }[config.name]
    if not warmup:
        return base
    return lambda step: base(step) * jnp.minimum(1.0, (step + 1) / warmup)


def create(config: config_lib.OptimizerConfig, factor: Schedule) -> optax.GradientTransformation:
    """The optimiser: clip, L2 in the gradient, momentum or Adam, then the scheduled rate.

    Its state holds `hyperparams["learning_rate"]` (before the factor) and `["weight_decay"]`.
    """

    def chain(learning_rate, weight_decay):
        return optax.chain(
            optax.clip_by_global_norm(config.clip_norm) if config.clip_norm else optax.identity(),
            optax.add_decayed_weights(weight_decay, mask=_DECAYED[config.decay]),
            _direction(config),
            optax.scale_by_schedule(factor),
            optax.scale_by_learning_rate(learning_rate),
        )

    return optax.inject_hyperparams(chain)(
        learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )


def _kernels(params):
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


# What weight decay reaches: Caffe decays everything, He et al. 2019 the kernels alone.
_DECAYED = {"all": None, "kernels": _kernels}


def _direction(config: config_lib.OptimizerConfig) -> optax.GradientTransformation:
    if config.name == "adam":
        return optax.scale_by_adam(eps=config.epsilon)
    if config.momentum or config.nesterov:
        return optax.trace(config.momentum, nesterov=config.nesterov)
    return optax.identity()


_SHAPES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "linear": lambda share: share,
    "cosine": lambda share: (1 - jnp.cos(jnp.pi * share)) / 2,
    "step": jnp.floor,
}


def moving(start: float, end: float, length: int, *, shape: str = "linear") -> Schedule:
    """From `start` to `end` over `length` steps, then constant; for parameters of an EDF.

    Args:
      start, end: values at step 0 and from step `length` on.
      length: in steps, at least 1.
      shape: "linear", "cosine" (half a wave) or "step" (all at once, at the end).

    Raises:
      ValueError: an unknown shape, or a length below one step.
    """
    if length < 1:
        raise ValueError(f"a schedule must last at least one step, got {length}")
    if shape not in _SHAPES:
        raise errors.unknown("shape of a schedule:", shape, _SHAPES)
    return lambda step: start + (end - start) * _SHAPES[shape](jnp.minimum(step / length, 1.0))
