"""The length of a training and of its schedules, scaled together."""

import math

import ml_collections

_DURATIONS = (
    ("train", "length"),
    ("train", "log_every"),
    ("train", "evaluate_every"),
    ("train", "checkpoint_every"),
    ("schedule", "boundaries"),
    ("schedule", "warmup"),
    ("loss", "schedule_length"),
)


def scale(config: ml_collections.ConfigDict, factor: float) -> None:
    """Multiplies the length of the training and of its schedules by `factor`, in place.

    Intervals of logging, evaluation and checkpoints shrink where fewer than twenty would fit.
    Every evaluation coincides with a log: together they make one point of a curve.

    Raises:
      ValueError: a key holds no duration; names it.
    """
    _check_durations(config)
    train, length = config.train, _times(config.train.length, factor)
    config.schedule.boundaries = tuple(_times(b, factor) for b in config.schedule.boundaries)
    config.schedule.warmup = _times(config.schedule.warmup, factor)
    config.loss.schedule_length = _times(config.loss.schedule_length, factor)
    train.length = length
    for name in ("log_every", "evaluate_every", "checkpoint_every"):
        if split(train[name])[1] == split(length)[1]:
            twentieth = _times(length, 1 / 20)
            train[name] = min(train[name], twentieth, key=split)
    (log, of_log), (every, of_every) = split(train.log_every), split(train.evaluate_every)
    if of_log == of_every == "steps" and min(log, every) >= 1:  # `Config.parse` refuses others
        every = int(every)
        divisors = [d for d in range(1, every + 1) if every % d == 0]
        train.log_every = f"{min(divisors, key=lambda d: max(d / log, log / d))} steps"


def _check_durations(config: ml_collections.ConfigDict) -> None:
    """Raises ValueError, with its key, for what is no duration."""
    for group, key in _DURATIONS:
        found = config[group][key]
        try:
            for duration in found if isinstance(found, tuple | list) else (found,):
                split(duration)
        except ValueError as error:
            raise ValueError(f"config.{group}.{key}: {error}") from None


def split(duration: str | int) -> tuple[float, str]:
    """The number and the unit of a duration; a bare whole number counts steps."""
    parts = str(duration).split()
    try:
        text, unit = parts if len(parts) > 1 else (*parts, "steps")
        number = float(text)
    except ValueError:
        raise ValueError(
            f"a duration reads like '30000 steps', '40 epochs' or '1e6 examples', got {duration!r}"
        ) from None
    if not math.isfinite(number):
        raise ValueError(f"a duration must be finite, got {duration!r}")
    return number, unit


def _times(duration: str | int, factor: float) -> str:
    """A duration times a factor; steps are rounded, to at least one."""
    number, unit = split(duration)
    if unit == "steps":
        return f"{max(round(number * factor), 1) if number else 0} steps"
    return f"{number * factor:.12g} {unit}"
