"""Learning rate and emphasis over the steps, against their written formulas."""

import functools
import math

import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax.train import config as config_lib
from dm_jax.train import schedules
from dm_jax.train.config import ScheduleConfig


def _schedule(total: int = 100, **values):
    duration = functools.partial(config_lib.steps, examples=1000, batch_size=100)
    return schedules.learning_rate_factor(
        ScheduleConfig(**values), total_steps=total, duration=duration
    )


def _values(schedule, steps):
    return [float(schedule(jnp.asarray(step))) for step in steps]


def test_a_constant_rate():
    assert _values(_schedule(), (0, 99)) == [1, 1]


def test_steps_divide_at_the_boundaries_themselves():
    """Caffe's multistep: the rate of iteration 15,000 is the lower one. Durations may be epochs."""
    schedule = _schedule(boundaries=("50 steps", "8 epochs"), name="steps", factor=0.1)
    assert _values(schedule, (0, 49, 50, 79, 80, 99)) == pytest.approx([1, 1, 0.1, 0.1, 0.01, 0.01])


@pytest.mark.parametrize("name", ["constant", "inv", "cosine"])
def test_other_schedules_ignore_boundaries(name):
    schedule, without = _schedule(boundaries=("9999 steps",), name=name), _schedule(name=name)
    assert float(schedule(50)) == float(without(50))


def test_boundaries_of_a_very_short_run_may_coincide():
    schedule = _schedule(boundaries=("1 steps", "1 steps", "2 steps"), name="steps", factor=0.1)
    assert _values(schedule, (0, 1, 2)) == pytest.approx([1, 0.01, 0.001])


def test_inv_is_that_of_caffe():
    schedule = _schedule(name="inv", gamma=1e-2, power=0.75)
    expected = [(1 + 1e-2 * step) ** -0.75 for step in (0, 10, 99)]
    assert _values(schedule, (0, 10, 99)) == pytest.approx(expected)


def test_cosine_falls_to_zero_at_the_end():
    expected = [0.5 * (1 + np.cos(np.pi * step / 100)) for step in (0, 25, 50, 100)]
    assert _values(_schedule(name="cosine"), (0, 25, 50, 100)) == pytest.approx(expected, abs=1e-7)


def test_warmup_rises_linearly_and_multiplies():
    schedule = _schedule(name="inv", gamma=1e-2, power=1.0, warmup="1 epochs")
    expected = [(step + 1) / 10 / (1 + 1e-2 * step) for step in (0, 4, 9)]
    assert _values(schedule, (0, 4, 9)) == pytest.approx(expected)
    assert _values(schedule, (10, 50)) == pytest.approx([1 / 1.1, 1 / 1.5])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "steps", "boundaries": ("5 step",)}, "config.schedule.boundaries: a duration"),
        ({"warmup": "3"}, "config.schedule.warmup: a duration"),
        ({"name": "steps", "boundaries": ("50 steps", "20 steps")}, "must not decrease"),
        (
            {"name": "steps", "boundaries": ("101 steps",)},
            "boundaries: step 101 is after the end of training, 100",
        ),
        ({"warmup": "11 epochs"}, "warmup: step 110 is after the end of training, 100"),
    ],
)
def test_schedules_that_cannot_be_meant(values, message):
    with pytest.raises(ValueError, match=message):
        _schedule(**values)


@pytest.mark.parametrize(
    ("shape", "quarter", "half"),
    [("linear", 1.0, 1.5), ("cosine", 0.5 + 1 - math.sqrt(0.5), 1.5), ("step", 0.5, 0.5)],
)
def test_a_parameter_of_a_scheme_moves_and_stays(shape, quarter, half):
    moving = schedules.transition(0.5, 2.5, 8, shape=shape)
    assert _values(moving, (0, 2, 4, 8, 1000)) == pytest.approx([0.5, quarter, half, 2.5, 2.5])


def test_a_way_that_cannot_be_meant():
    with pytest.raises(ValueError, match="at least one step, got 0"):
        schedules.transition(0.5, 2.0, 0)
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        schedules.transition(0.5, 2.0, 5, shape="cosin")
