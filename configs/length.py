"""The length of a training and of its schedules, scaled together."""

import ml_collections

_SCALED = (
    ("train", "length"),
    ("schedule", "boundaries"),
    ("schedule", "warmup"),
    ("loss", "schedule_length"),
)


def scale(config: ml_collections.ConfigDict, factor: float) -> None:
    """Multiplies the length of the training and of its schedules by `factor`, in place.

    Intervals of logging, evaluation and checkpoints shrink where fewer than twenty would fit.
    Every evaluation coincides with a log: together they make one point of a curve.
    """
    for group, key in _SCALED:
        found = config[group][key]
        try:
            several = isinstance(found, tuple)
            scaled = tuple(_times(d, factor) for d in found) if several else _times(found, factor)
        except ValueError as error:
            raise ValueError(f"config.{group}.{key}: {error}") from None
        config[group][key] = scaled
    train, length = config.train, config.train.length
    for name in ("log_every", "evaluate_every", "checkpoint_every"):
        if split(train[name])[1] == split(length)[1]:
            twentieth = _times(length, 1 / 20)
            train[name] = min(train[name], twentieth, key=split)
    (log, of_log), (every, of_every) = split(train.log_every), split(train.evaluate_every)
    if of_log == of_every == "steps" and min(log, every) >= 1:  # `Config.parse` refuses others
        every = int(every)
        divisors = [d for d in range(1, every + 1) if every % d == 0]
        train.log_every = f"{min(divisors, key=lambda d: max(d / log, log / d))} steps"


def split(duration: str | int) -> tuple[float, str]:
    """The number and the unit of a duration; a bare whole number counts steps."""
    parts = str(duration).split()
    try:
        number, unit = parts if len(parts) > 1 else (*parts, "steps")
        return float(number), unit
    except ValueError:
        raise ValueError(
            f"a duration reads like '30000 steps', '40 epochs' or '1e6 examples', got {duration!r}"
        ) from None


def _times(duration: str | int, factor: float) -> str:
    """A duration times a factor; steps are rounded, to at least one."""
    number, unit = split(duration)
    if unit == "steps":
        return f"{max(round(number * factor), 1) if number else 0} steps"
    return f"{number * factor:.12g} {unit}"
