"""Configs are read strictly: what is not known, or of the wrong kind, is named."""

import dataclasses
import json
import math

import numpy as np
import pytest

from configs import common, digits
from dm_jax.train.config import Config, DataConfig, TrainConfig, steps
from dm_jax.train.sampler import Sampler


def _parse(**changes):
    values = common.base().to_dict()
    for path, value in changes.items():
        group, _, key = path.rpartition("__")
        (values[group] if group else values)[key] = value
    return Config.parse(values)


def test_a_config_file_reads_and_writes_back_the_same():
    config = Config.parse(digits.get_config("method=GCE,rate=0.6,seed=3"))
    assert config.loss.parameters == {"q": 0.7}
    assert config.model.parameters == {"hidden": (128,)}
    assert (config.noise.rate, config.seed) == (0.6, 3)
    assert Config.parse(config.to_dict()) == config
    assert config.to_dict()["loss"]["q"] == 0.7


def test_nested_tuples_of_a_network_read_back_the_same():
    config = _parse(model__blocks=((16, 2), (8, 1)))
    assert config.model.parameters["blocks"] == ((16, 2), (8, 1))
    assert config.to_dict() == json.loads(json.dumps(config.to_dict()))


def test_the_config_files_have_the_defaults_of_the_library():
    assert Config.parse(common.base()) == Config()


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"tran": {}}, ValueError, "config.tran'; did you mean 'config.train'"),
        (
            {"optimizer__learning_rte": 0.1},
            ValueError,
            "did you mean 'config.optimizer.learning_rate'",
        ),
        (
            {"optimizer__name": "adm"},
            ValueError,
            "config.optimizer.name: 'adm'; did you mean 'adam'",
        ),
        ({"parallel__mode": "pmp"}, ValueError, "did you mean 'pmap'"),
        ({"data__last_batch": "drop"}, ValueError, "config.data.last_batch: 'drop'"),
        (
            {"optimizer__momentum": "0.9"},
            TypeError,
            "config.optimizer.momentum must be of type float",
        ),
        ({"optimizer__nesterov": 1}, TypeError, "config.optimizer.nesterov must be of type bool"),
        ({"seed": 1.5}, TypeError, "config.seed must be of type int, got 1.5"),
        ({"seed": True}, TypeError, "config.seed must be of type int, got True"),
        ({"train": 3}, TypeError, "config.train must be a group of keys, got 3"),
        ({"schedule__boundaries": "5 steps"}, TypeError, "boundaries must be a tuple of str"),
        ({"train__batch_size": 0}, ValueError, "config.train.batch_size must be at least 1, got 0"),
        ({"seed": 2**32}, ValueError, "config.seed must be below 4294967296, got 4294967296"),
        ({"schedule__factor": -0.1}, ValueError, "config.schedule.factor must .* got -0.1"),
        ({"loss__schedule": "cosine 2"}, TypeError, "config.loss.schedule must be a group of keys"),
        ({"loss__beta": object()}, TypeError, "config.loss.beta must be a number, a string"),
        ({"seed": -1}, ValueError, "config.seed must be at least 0, got -1"),
        ({"parallel__devices": -1}, ValueError, "config.parallel.devices must .* at least 0"),
        ({"loss__saturation": -1.0}, ValueError, "config.loss.saturation must .* got -1.0"),
        ({"optimizer__momentum": math.nan}, ValueError, "config.optimizer.momentum .* got nan"),
        ({"schedule__warmup": "5step"}, ValueError, "config.schedule.warmup: a duration reads"),
        ({"schedule__boundaries": ["1 day"]}, ValueError, "schedule.boundaries: a duration reads"),
        ({"data__validation": 1.0}, ValueError, r"config.data.validation must be in \[0, 1\)"),
    ],
)
def test_bad_values(changes, error, message):
    with pytest.raises(error, match=message):
        _parse(**changes)


def test_integers_pass_for_floats_and_for_steps():
    config = _parse(
        optimizer__learning_rate=1,
        train__length=500,
        schedule__boundaries=[100, "2 epochs"],
        loss__schedule_length=50,
        schedule__warmup="30",  # as the command line writes it
    )
    assert config.optimizer.learning_rate == 1.0
    assert config.train.length == "500 steps"
    assert config.loss.schedule_length == "50 steps"
    assert config.schedule.warmup == "30 steps"
    assert config.schedule.boundaries == ("100 steps", "2 epochs")


def test_a_config_that_was_not_parsed_is_checked_too():
    with pytest.raises(ValueError, match=r"config.data.last_batch: 'Wrap'; did you mean 'wrap'"):
        Config(data=DataConfig(last_batch="Wrap"))
    with pytest.raises(ValueError, match=r"config.train.batch_size must be at least 1"):
        dataclasses.replace(Config(), train=TrainConfig(batch_size=0))


def test_numpys_numbers_are_numbers():
    config = _parse(seed=np.int64(3), loss__beta=np.float32(4), model__hidden=[np.int32(5)])
    assert (config.seed, config.loss.parameters["beta"]) == (3, 4.0)
    assert config.model.parameters["hidden"] == (5,)
    json.dumps(config.to_dict())


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("7 steps", 7), ("2 epochs", 8), ("0.5 epochs", 2), ("257 examples", 2), ("1e3 steps", 1000)],
)
def test_durations(duration, expected):
    assert steps(duration, examples=1000, batch_size=256) == expected


def test_durations_are_exact():
    """In floats 1.1 epochs of 50,000 end after more than 220 batches of 250."""
    assert steps("1.1 epochs", examples=50_000, batch_size=250) == 220
    assert steps("0.07 epochs", examples=100, batch_size=1, last_batch="mask") == 7


@pytest.mark.parametrize(("examples", "batch_size"), [(1000, 256), (100, 256), (1024, 256)])
def test_an_epoch_whose_last_batch_is_padded_has_a_step_for_it(examples, batch_size):
    sampler = Sampler(np.arange(examples), batch_size, seed=0, last_batch="mask")
    total = steps("3 epochs", examples=examples, batch_size=batch_size, last_batch="mask")
    index, where = sampler.batches(0, total)
    seen = np.bincount((index if where is None else index[where]).ravel(), minlength=examples)
    assert (seen == 3).all()


@pytest.mark.parametrize(
    ("duration", "expected"),
    [("7 steps", 7), ("0.5 epochs", 2), ("1.5 epochs", 6), ("1257 examples", 6)],
)
def test_durations_where_the_last_batch_is_padded(duration, expected):
    assert steps(duration, examples=1000, batch_size=256, last_batch="mask") == expected


@pytest.mark.parametrize(
    "duration",
    ["", "7", "steps 7", "7 minutes", "-1 steps", "inf steps", "nan steps", "1/2 epochs"],
)
def test_durations_that_are_none(duration):
    with pytest.raises(ValueError, match="duration"):
        steps(duration, examples=1000, batch_size=256)
