"""A user's own network, optimiser and schedule."""

import dataclasses
import json

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import digits
from dm_jax import models, train
from dm_jax.train import population
from dm_jax.train.array_engine import ArrayEngine
from dm_jax.train.config import OptimizerConfig, ParallelConfig
from dm_jax.train.parallel import make_mesh

HERE = __name__


class Small(models.Network):
    """A convolution, batch statistics and a mean."""

    width: int = 4

    def embed(self, x, train, where):
        unit = models.ConvNorm(self.width, 3, 2, axis_name=self.axis_name, dtype=self.dtype)
        return models.global_mean(unit(x, train, where))


class Half(models.Network):
    """Features in the dtype of the computation, without parameters of their own."""

    def embed(self, x, train, where):
        return nn.Dense(8, dtype=self.dtype)(x.reshape(x.shape[0], -1))


class Sequence(models.Network):
    """A convolution over one axis, whose kernel has rank 3."""

    def embed(self, x, train, where):
        return nn.Conv(4, (3,), dtype=self.dtype)(x.reshape(x.shape[0], -1, 1)).mean(1)


class WithEmpty(Half):
    """Has a parameter without elements."""

    def embed(self, x, train, where):
        self.param("none", nn.initializers.zeros, (0, 3))
        return super().embed(x, train, where)


class Unflattened(models.Network):
    """Features that have positions."""

    def embed(self, x, train, where):
        return nn.Conv(4, (3, 3), dtype=self.dtype)(x)


class Pair(models.Network):
    """Two things at once."""

    def embed(self, x, train, where):
        return x.reshape(x.shape[0], -1), x


class Empty(models.Network):
    """Nothing defined."""


class Dropping(models.Network):
    """Dropout inside the features."""

    def embed(self, x, train, where):
        return models.Dropout(0.5, self.axis_name)(x.reshape(x.shape[0], -1), train)


class Constant(models.Network):
    """A variable that a run would not keep."""

    def embed(self, x, train, where):
        scale = self.variable("constants", "scale", jnp.ones, ())
        return x.reshape(x.shape[0], -1) * scale.value


class Listed(models.Network):
    """A field that has no hash."""

    widths: list = dataclasses.field(default_factory=lambda: [8, 4])

    def embed(self, x, train, where):
        x = x.reshape(x.shape[0], -1)
        for width in self.widths:
            x = nn.relu(nn.Dense(width, dtype=self.dtype)(x))
        return x


def adamw(config: OptimizerConfig) -> optax.GradientTransformation:
    return optax.chain(optax.scale_by_adam(eps=config.epsilon), optax.add_decayed_weights(1e-3))


def halves(total_steps: int):
    return lambda step: jnp.where(step < total_steps // 2, 1.0, 0.5)


def towards_the_start(config: OptimizerConfig) -> optax.GradientTransformation:
    """L2-SP: its state is the first parameters themselves."""

    def update(gradients, first, params):
        pull = jax.tree.map(lambda g, p, f: g + 1e-3 * (p - f), gradients, params, first)
        return pull, first

    return optax.GradientTransformation(lambda params: params, update)


def ascending(config: OptimizerConfig) -> optax.GradientTransformation:
    return optax.adam(config.learning_rate)


def of_an_array(total_steps: int):
    return lambda step: step.astype(jnp.float32) / total_steps


def of_a_vector(total_steps: int):
    return lambda step: jnp.ones(3)


def of_a_number(total_steps: int):
    return lambda step: 1.0 if step < total_steps else 0.5


def nothing(_):
    return None


def _config(**changes) -> train.Config:
    own = (
        f"model={HERE}:Small,model.width=6,schedule.name={HERE}:halves,"
        f"optimizer.name={HERE}:adamw,optimizer.learning_rate=0.01,optimizer.weight_decay=0"
    )
    values = digits.get_config(f"{own},method=CCE,rate=0.4")
    values.train.length, values.train.checkpoint_every = "30 steps", "10 steps"
    values.train.evaluate_every = values.train.log_every = "10 steps"
    values.train.keep_checkpoints, values.parallel.devices = 1, 1
    for path, value in changes.items():
        group, _, key = path.rpartition("__")
        if group:
            values[group][key] = value
        else:
            values[key] = {"dtype": "float32", "dropout": 0.0, "pretrained": "", **value}
    return train.Config.parse(values)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    workdir = tmp_path_factory.mktemp("own")
    return workdir, train.run(_config(data__validation=0.2), workdir)


def test_own_parts_train(run):
    workdir, summary = run
    assert summary.finished
    config = json.loads((workdir / "config.json").read_text())
    assert config["model"]["name"] == f"{HERE}:Small"
    rates = [row["learning_rate"] for row in summary.rows if "learning_rate" in row]
    assert rates == pytest.approx([0.01, 0.005, 0.005])
    losses = [loss for _, loss in summary.curve("train_loss")]
    assert losses[-1] < losses[0]


def test_features_may_be_bfloat16(tmp_path):
    config = _config(model={"name": f"{HERE}:Half", "dtype": "bfloat16"})
    experiment = train.experiment(config)
    assert ArrayEngine([experiment], make_mesh(ParallelConfig(devices=1)), "jit").scans
    summary = train.run(config, tmp_path)
    assert summary.finished
    assert train.run(config, tmp_path).rows == summary.rows
    variables = train.load(tmp_path).variables
    assert variables["params"]["classifier"]["dense"]["kernel"].dtype == np.float32


def test_no_convolution_is_scanned_on_a_cpu():
    experiment = train.experiment(_config(model={"name": f"{HERE}:Sequence"}))
    assert not ArrayEngine([experiment], make_mesh(ParallelConfig(devices=1)), "jit").scans


@pytest.mark.long
def test_own_parts_on_several_devices_are_the_same(run, tmp_path):
    for mode in ("jit", "pmap"):
        config = _config(data__validation=0.2, parallel__mode=mode, parallel__devices=4)
        found = train.run(config, tmp_path / mode)
        assert found.final("train_loss") == pytest.approx(run[1].final("train_loss"), rel=1e-3)


def test_a_config_that_was_not_parsed_is_named():
    with pytest.raises(TypeError, match=r"config must be a train\.Config, got ConfigDict; use "):
        train.experiment(digits.get_config())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model__name": f"{HERE}:Smal"}, "unknown name in .*: 'Smal'; did you mean 'Small'"),
        ({"model__name": f"{HERE}:adamw"}, "must be a subclass of dm_jax.models.Network"),
        ({"model": {"name": f"{HERE}:Constant"}}, "variables in the collections constants; a run"),
        (
            {"model": {"name": f"{HERE}:Unflattened"}},
            r"\[B, F\] with B = 1, got shape \[1, 8, 8, 4\]",
        ),
        ({"model": {"name": f"{HERE}:Pair"}}, "embed of Pair must return .* got tuple"),
        ({"model__wide": 3}, "unknown option of .*Small 'wide'"),
        ({"optimizer__name": f"{HERE}:nothing"}, "must return an optax.GradientTransformation"),
        ({"optimizer__name": f"{HERE}:ascending"}, "not optax.adam"),
        ({"schedule__name": f"{HERE}:nothing"}, "must return a function of the step, got None"),
        ({"schedule__name": f"{HERE}:of_a_vector"}, "of_a_vector must return a number, got Shape"),
        ({"schedule__name": f"{HERE}:of_a_number"}, "must take the step as a traced int32"),
        ({"schedule__name": f"{HERE}:HERE"}, "must be a function, got '"),
        ({"schedule__name": "no_such:thing"}, "'no_such:thing' cannot be imported"),
    ],
)
def test_own_parts_that_are_none_are_named(changes, message):
    with pytest.raises(ValueError, match=message):
        train.experiment(_config(**changes)).create_state(0)


@pytest.mark.parametrize("devices", [1, 4])
def test_a_state_may_share_the_parameters(devices, tmp_path):
    config = _config(
        optimizer__name=f"{HERE}:towards_the_start",
        schedule__name=f"{HERE}:of_an_array",
        parallel__devices=devices,
    )
    assert train.run(config, tmp_path).finished


def test_a_network_without_features_says_so():
    with pytest.raises(NotImplementedError, match=r"Empty must define embed"):
        train.experiment(_config(model={"name": f"{HERE}:Empty"})).create_state(0)


def test_dropout_of_a_network_does_not_depend_on_the_mode(tmp_path):
    losses = [
        train.run(
            _config(model={"name": f"{HERE}:Dropping"}, parallel__mode=mode, parallel__devices=4),
            tmp_path / mode,
        ).final("train_loss")
        for mode in ("jit", "pmap")
    ]
    assert losses[1] == pytest.approx(losses[0], rel=1e-4)


def test_a_network_may_have_a_field_without_a_hash():
    state = train.experiment(_config(model={"name": f"{HERE}:Listed"})).create_state(0)
    assert state.params["Dense_1"]["kernel"].shape == (8, 4)


def test_an_optimiser_by_no_known_name():
    message = r"did you mean 'adam'\? Known: adam, caffe_adam, package.module:function, sgd"
    with pytest.raises(ValueError, match=message):
        _config(optimizer__name="adamw")


def test_an_optimiser_of_ones_own_is_not_shared_by_other_rates():
    """It may read them, and is made once for all members."""
    configs = [_config(optimizer__learning_rate=rate) for rate in (0.1, 0.2)]
    first, second = map(population.signature, map(train.experiment, configs))
    assert first != second


def test_a_population_is_on_one_data_set():
    config = train.Config.parse(digits.get_config("steps=20"))
    with pytest.raises(ValueError, match="a population needs one data set"):
        train.train_population([train.experiment(config) for _ in range(2)])


def test_an_array_without_elements_is_named_before_training(tmp_path):
    """A checkpoint could not hold it."""
    config = train.Config.parse(digits.get_config(f"model={HERE}:WithEmpty,steps=4"))
    with pytest.raises(ValueError, match=r"cannot be saved .*params\['none'\] is float32\[0, 3\]"):
        train.run(config, tmp_path)
    assert not (tmp_path / "metrics.jsonl").exists()
