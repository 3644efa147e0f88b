"""Schedules of the learning rate and of the parameters of the emphasis."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from dm_jax import emphasis, errors, import_path
from dm_jax.emphasis import fields as edf_fields
from dm_jax.train import config as config_lib

Schedule = Callable[[jax.typing.ArrayLike], jax.Array]


def learning_rate_factor(
    config: config_lib.ScheduleConfig, *, total_steps: int, duration: Callable[[str], int]
) -> Schedule:
    """The factor on the learning rate as a function of the step.

    Args:
      config: "steps" multiplies by `factor` at each of `boundaries`, which the others ignore; "inv"
        is Caffe's (1 + gamma * step) ** -power; "cosine" falls to 0 at `total_steps`. `warmup`
        multiplies the first W steps of any of them by 1/W, 2/W, ..., 1. "package.module:function"
        is a custom function of `total_steps` that returns a function of the step.
      total_steps: length of the run.
      duration: "N epochs" and the like as a number of steps (`config.steps`).

    Raises:
      ValueError: boundaries that decrease, boundaries or a warm-up after the end of training, or no
        such function.
    """
    used = config.boundaries if config.name == "steps" else ()
    boundaries = [_steps(duration, "boundaries", text) for text in used]
    warmup = _steps(duration, "warmup", config.warmup)
    if sorted(boundaries) != boundaries:
        raise ValueError(f"config.schedule.boundaries must not decrease, got {config.boundaries}")
    for name, step in [("boundaries", s) for s in boundaries] + [("warmup", warmup)]:
        if step > total_steps:
            raise ValueError(
                f"config.schedule.{name}: step {step} is after the end of training, {total_steps}"
            )
    # Those of a very short run may coincide.
    factors = {step: config.factor ** boundaries.count(step) for step in boundaries}
    known = {
        "constant": lambda step: jnp.ones_like(step, jnp.float32),
        "steps": optax.piecewise_constant_schedule(1.0, factors),
        "inv": lambda step: (1.0 + config.gamma * step) ** -config.power,
        "cosine": optax.cosine_decay_schedule(1.0, max(total_steps, 1)),
    }
    custom = ":" in config.name
    base = import_path.call_function(config.name, total_steps) if custom else known[config.name]
    if custom:
        _check_custom(config.name, base)
    if not warmup:
        return base
    return lambda step: base(step) * jnp.minimum(1.0, jnp.asarray(step + 1, float) / warmup)


def _check_custom(name: str, schedule: Any) -> None:
    """Raises ValueError unless a custom schedule maps the step to a factor."""
    if not callable(schedule):
        raise ValueError(f"{name} must return a function of the step, got {schedule!r}")
    try:
        factor = jax.eval_shape(schedule, jax.ShapeDtypeStruct((), jnp.int32))
    except Exception as error:  # custom code may raise anything
        raise ValueError(
            f"the schedule of {name} must take the step as a traced int32, but fails: "
            f"{errors.first_line(error)}"
        ) from error
    if getattr(factor, "shape", None) != ():
        raise ValueError(f"the schedule of {name} must return a number, got {factor!r}")


def _steps(duration: Callable[[str], int], key: str, text: str) -> int:
    try:
        return duration(text)
    except ValueError as error:
        raise ValueError(f"config.schedule.{key}: {error}") from error


def edf_transitions(
    loss: config_lib.LossConfig, edf: emphasis.EDF, *, total_steps: int, length: int
) -> dict[str, Schedule]:
    """Parameter -> its schedule from the value in `edf` to the one in `loss.schedule`.

    Args:
      loss: the values of `loss.schedule` are like 2.0 (linear) or "cosine 2.0" (see `transition`).
      edf: the EDF at the start of training.
      total_steps: length of the run.
      length: number of steps over which the parameters move.

    Raises:
      ValueError: an unknown parameter, an end that is malformed or out of range, or a transition
        that ends after training.
    """
    starts = edf_fields.values(edf)
    for name in loss.schedule:
        if name not in starts:
            raise errors.unknown(f"scheduled parameter of {loss.name}:", name, starts)
        if np.ndim(starts[name]) or not np.isreal(starts[name]):
            raise ValueError(
                f"config.loss.schedule.{name}: only numbers can be scheduled, and {name} of "
                f"{loss.name} is {starts[name]!r}"
            )
    ends = {name: _shape_and_end(name, target) for name, target in loss.schedule.items()}
    values = {name: end for name, (_, end) in ends.items()}
    emphasis.create(loss.name, **{**loss.parameters, **values})  # in range at the end too
    jumps = any(shape == "step" for shape, _ in ends.values())
    # A jump at the very end would be after the last step.
    last = total_steps - 1 if jumps else total_steps
    if length > last:
        raise ValueError(
            f"config.loss.schedule_length must be at most {last} steps to end within the training, "
            f"got {length}"
        )
    return {
        name: transition(starts[name], end, length, shape=shape)
        for name, (shape, end) in ends.items()
    }


def _shape_and_end(name: str, target: Any) -> tuple[str, float]:
    """The shape and the end of 2.0 or "cosine 2.0"; a bare number is linear."""
    shape, number = "", target
    if isinstance(target, str):
        shape, _, number = target.rpartition(" ")
    try:
        return shape or "linear", float(number)
    except (TypeError, ValueError):
        raise ValueError(
            f"config.loss.schedule.{name} must be like 2.0 or 'cosine 2.0', got {target!r}"
        ) from None


_SHAPES: dict[str, Callable[[jax.Array], jax.Array]] = {
    "linear": lambda share: share,
    "cosine": lambda share: (1 - jnp.cos(jnp.pi * share)) / 2,
    "step": jnp.floor,
}


def transition(start: float, end: float, length: int, *, shape: str = "linear") -> Schedule:
    """From `start` to `end` over `length` steps, then constant.

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

    def value(step: jax.typing.ArrayLike) -> jax.Array:
        passed = jnp.asarray(step, float) / length  # of an int32 alone it would be float32
        return start + (end - start) * _SHAPES[shape](jnp.minimum(passed, 1.0))

    return value
