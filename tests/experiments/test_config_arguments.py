"""The arguments of config files: "method=DM,beta=4,steps=100"."""

import dataclasses

import jax
import jax.numpy as jnp
import ml_collections
import pytest

import dm_jax
from configs import clothing1m, digits, length, overrides
from dm_jax import models
from dm_jax.emphasis import static
from dm_jax.train import Config
from dm_jax.train.config import LOSS_KEYS, ModelConfig
from tests.experiments.test_own_scheme import HERE


@pytest.mark.parametrize(
    ("method", "name", "normalization"),
    [
        ("DM", "DM", "batch"),
        ("dm", "DM", "batch"),
        ("CCE", "CCE", "none"),
        ("cce-dn", "CCE", "batch"),
        ("GCE", "GCE", "none"),
        ("exponential", "Exponential", "batch"),
        ("Normal", "Normal", "batch"),
        ("Beta", "Beta", "batch"),
        (HERE, HERE, "batch"),
        (f"{HERE}-DN", HERE, "batch"),
    ],
)
def test_a_method_and_its_normalization(method, name, normalization):
    loss = digits.get_config(f"method={method}").loss
    assert (loss.name, loss.normalization) == (name, normalization)
    own = digits.get_config(f"method={method},loss.normalization=none").loss
    assert own.normalization == "none"


def test_from_a_scheme_of_ones_own_back_to_another():
    config = overrides.apply(digits.get_config(f"method={HERE},knee=0.2"), "method=GCE")
    assert Config.parse(config).loss.parameters == {"q": 0.7}


def test_another_method_or_network_keeps_no_parameter_of_the_last():
    base = digits.get_config(f"method={HERE},knee=0.2,loss.schedule.knee=0.3,model=a:B,width=8")
    other = Config.parse(overrides.apply(base, "method=a:Other,model=resnet20"))
    assert other.loss.parameters == {}
    assert other.loss.schedule == {}
    assert other.model.parameters == {}


def test_the_keys_of_every_scheme_and_network_are_those_of_the_library():
    assert set(overrides._LOSS_KEYS) == LOSS_KEYS
    fields = {field.name for field in dataclasses.fields(ModelConfig)}
    assert {*overrides._MODEL_KEYS, "parameters"} == fields
    for name, parameters in overrides._NETWORKS.items():
        network = models.create(name, num_classes=2)
        assert parameters == {key: getattr(network, key) for key in parameters}


def test_several_values_of_one_key():
    text = "model.hidden=64;32,schedule.name=steps,schedule.boundaries=50 steps;1 epochs;400"
    config = Config.parse(digits.get_config(text))
    assert config.model.parameters["hidden"] == (64, 32)
    assert config.schedule.boundaries == ("50 steps", "1 epochs", "400 steps")
    assert Config.parse(digits.get_config("model.hidden=16")).model.parameters["hidden"] == (16,)


@pytest.mark.parametrize("target", ["2", "cosine 2.0"])
def test_arguments_schedule_a_parameter(target):
    arguments = f"loss.schedule.lam={target},loss.schedule_length=9 steps"
    assert Config.parse(digits.get_config(arguments)).loss.schedule == {"lam": target}


def test_another_network_leaves_the_hidden_sizes_of_the_mlp():
    assert Config.parse(digits.get_config("model=resnet20")).model.parameters == {}
    assert Config.parse(digits.get_config("model=mlp")).model.parameters == {"hidden": (128,)}


def test_another_network_does_not_start_from_the_weights_of_the_last():
    assert clothing1m.get_config("method=GCE").model.pretrained == "resnet50.safetensors"
    assert clothing1m.get_config("model=resnet18").model.pretrained == ""


def test_what_nobody_declared_is_read_as_it_looks():
    text = f"method={HERE},knee=0.2,model=some.module:Net,model.norm=false,model.sizes=64;32"
    model = digits.get_config(f"{text},model.kind=wide,model.depth=3").model
    assert (model.norm, model.sizes, model.kind, model.depth) == (False, (64, 32), "wide", 3)


class Declared(dm_jax.EDF):
    """A scheme with types of every kind."""

    knee: float
    slope: float | jax.Array
    bound: "float|None" = None
    terms: int = 2
    steps: tuple[float, ...] = static(default=(1.0,))

    def weight(self, p):
        """w(p)."""
        return jnp.clip(self.slope * p / self.knee, 0.0, 1.0) ** self.terms


def test_what_a_scheme_declares_as_a_float_is_one():
    text = "knee=1,slope=2,bound=4,terms=3,loss.steps=5"
    config = digits.get_config(f"method={__name__}:Declared,{text}")
    expected = {"bound": 4.0, "knee": 1.0, "slope": 2.0, "steps": 5, "terms": 3}
    assert repr(Config.parse(config).loss.parameters) == repr(expected)
    config.loss.knee = 0.5  # as --config.loss.knee=0.5 does


@pytest.mark.parametrize("arguments", ["{},steps=1000", "steps=1000,{}"])
def test_steps_do_not_rescale_what_is_given_beside_them(arguments):
    own = "schedule.name=steps,schedule.boundaries=500;800,train.log_every=7 steps"
    config = Config.parse(digits.get_config(arguments.format(own)))
    assert config.train.length == "1000 steps"
    assert config.train.log_every == "7 steps"
    assert config.schedule.boundaries == ("500 steps", "800 steps")


def test_steps_and_a_length_contradict_each_other():
    with pytest.raises(ValueError, match=r"'steps' and 'train.length' both set the length"):
        digits.get_config("train.length=10 epochs,steps=5")


@pytest.mark.parametrize("key", ["loss.rate", "noise.rate", "loss.steps", "steps", "loss.beta"])
def test_changes_read_as_they_were_written(key):
    changes = {key: "2", "noise.kind": "pair"}
    assert overrides.parse(overrides.format_changes(changes)) == changes


def test_steps_scale_a_warmup_and_a_moving_parameter():
    config = digits.get_config(
        "loss.schedule.lam=1,loss.schedule_length=1000 steps,schedule.warmup=100"
    )
    length.scale(config, 0.1)
    assert config.train.length == "200 steps"
    assert (config.schedule.warmup, config.loss.schedule_length) == ("10 steps", "100 steps")


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("schedule.warmup", "5step", "a duration reads like"),
        ("train.log_every", "5step", "a duration reads like"),
        ("train.length", "inf steps", "a duration must be finite, got 'inf steps'"),
    ],
)
def test_a_duration_that_cannot_be_scaled_is_named(key, value, message):
    config = digits.get_config(f"{key}={value}")
    with pytest.raises(ValueError, match=f"config.{key}: {message}"):
        length.scale(config, 0.1)


def test_boundaries_in_a_list_are_scaled_too():
    config = ml_collections.ConfigDict(
        digits.get_config().to_dict()
        | {"schedule": {"name": "steps", "boundaries": ["500 steps", 800], "warmup": "0 steps"}}
    )
    length.scale(config, 0.1)
    assert list(config.schedule.boundaries) == ["50 steps", "80 steps"]


@pytest.mark.parametrize("second", ["rate=.4", "noise.rate=.2"])
def test_a_key_is_not_set_twice(second):
    with pytest.raises(ValueError, match=f"set noise.rate twice: rate=.2, {second}"):
        digits.get_config(f"rate=.2, method=DM, {second}")


def test_a_seed_is_that_of_the_run_and_of_its_noise():
    config = digits.get_config("seed=3")
    assert (config.seed, config.noise.seed) == (3, 3)


@pytest.mark.parametrize("arguments", ["seed=1,noise.seed=7", "noise.seed=7,seed=1"])
def test_a_seed_of_the_noise_is_its_own(arguments):
    config = digits.get_config(overrides.format_changes(overrides.parse(arguments)))
    assert (config.seed, config.noise.seed) == (1, 7)
    config = digits.get_config(arguments)
    assert (config.seed, config.noise.seed) == (1, 7)


def test_steps_need_a_length_in_steps():
    config = digits.get_config("train.length=10 epochs")
    with pytest.raises(ValueError, match=r"'steps' scales a length in steps, .* is '10 epochs'"):
        overrides.apply(config, "steps=5")


def test_a_length_in_epochs_is_scaled_exactly():
    config = digits.get_config("train.length=12345678 examples")
    length.scale(config, 0.9)
    assert config.train.length == "11111110.2 examples"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("method=CE", r"unknown method 'CE'; did you mean 'GCE'\? Known: Beta, CCE, DM"),
        ("batchsize=64", "'batchsize'; did you mean 'train.batch_size'?.*any key in full"),
        ("data=cifar10", r"'data' is a group of keys; set data.KEY=value \(keys: augment, crop"),
        ("methd=DM", r"unknown config argument 'methd'; did you mean 'method'\?"),
        ("los.beta=3", "'los.beta'; did you mean 'loss'"),
        ("loss.bet=3", "'loss.bet'; did you mean 'beta'"),
        ("train.batch_size.x=3", r"unknown config argument 'train.batch_size.x'"),
        ("optimizer.nesterov=maybe", "'optimizer.nesterov' must be of type bool, got 'maybe'"),
        ("loss.schedule=3", r"'loss.schedule' is a group of keys; set loss.schedule.KEY=value"),
        ("seed=x", "config argument 'seed' must be of type int, got 'x'"),
        ("steps=0", "config argument 'steps' must be at least 1, got 0"),
        ("beta", "arguments must be name=value,name=value, got 'beta'"),
        ("schedule.boundaries=9 steps", "requires schedule.name=steps, got schedule.name=constant"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        digits.get_config(arguments)
