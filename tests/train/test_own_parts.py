"""A user's own network, optimiser and schedule, and the network that a run leaves."""

import dataclasses
import json
import shutil

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from configs import digits
from dm_jax import data, models, npz, train
from dm_jax.train import checkpoint_content, checkpoint_reader, checkpoints, population
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


def test_a_trained_network_predicts_without_its_data(run, monkeypatch):
    workdir, summary = run
    test = data.load("digits").test
    monkeypatch.setattr(data, "load", None)
    trained = train.load(workdir)
    assert trained.step == 30
    assert trained.class_names == tuple("0123456789")
    accuracy = np.mean(trained.predict(test.inputs) == test.labels)
    assert accuracy == pytest.approx(summary.final("test_accuracy"), abs=1e-6)
    several = trained.logits(test.inputs[:70], batch_size=32)
    np.testing.assert_allclose(several, trained.logits(test.inputs)[:70], atol=1e-5)
    assert trained.logits(test.inputs[:0]).shape == (0, 10)
    features = trained.features(test.inputs)
    assert features.shape[0] == len(test)
    last = trained.variables["params"]["classifier"]["dense"]
    np.testing.assert_allclose(
        features @ last["kernel"] + last["bias"], trained.logits(test.inputs), atol=1e-4
    )
    assert trained.features(test.inputs[:0]).shape == (0, features.shape[1])


def test_nothing_is_predicted_of_nothing_by_any_network(tmp_path):
    train.run(train.Config.parse(digits.get_config("steps=10,parallel.devices=1")), tmp_path)
    trained = train.load(tmp_path)
    assert trained.predict(np.zeros((0, 8, 8, 1), np.uint8)).shape == (0,)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        trained.predict(np.zeros((1, 8, 8, 1), np.uint8), batch_size=0)


def test_the_best_is_that_of_the_validation(run):
    workdir, summary = run
    scores = dict(summary.curve("validation_accuracy_given"))
    last_best = max(step for step, score in scores.items() if score == max(scores.values()))
    assert train.load(workdir, step="best").step == last_best
    kept = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
    assert kept == {last_best, 30}


def test_the_best_survives_a_restart(tmp_path):
    """Scores are on disk: who goes on does not take a later checkpoint for the best."""
    tree = {"w": np.zeros(3, np.float32)}
    for steps in (((1, 0.5), (2, 0.9)), ((3, 0.7), (4, None))):
        made = checkpoints.Checkpoints(tmp_path, keep=1)
        for step, score in steps:
            made.save(step, tree, score=score)
        made.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "4"]


def test_what_a_running_trainer_deletes_is_chosen_again(run, tmp_path, monkeypatch):
    workdir, _ = run
    shutil.copytree(workdir, tmp_path / "run")
    shutil.copytree(workdir / "checkpoints" / "30", tmp_path / "run" / "checkpoints" / "40")
    read = checkpoint_reader._read_variables

    def delete_and_read(directory, step):
        shutil.rmtree(directory / "40", ignore_errors=True)
        return read(directory, step)

    monkeypatch.setattr(checkpoint_reader, "_read_variables", delete_and_read)
    assert train.load(tmp_path / "run").step == 30


def test_inputs_may_be_as_in_an_npz(run, tmp_path):
    model, images = train.load(run[0]), data.load("digits").test.inputs[:5]
    np.testing.assert_array_equal(model.logits(images[..., 0]), model.logits(images))
    features = images.reshape(len(images), -1)
    arrays = {"x_train": features, "y_train": np.arange(5), "x_test": features}
    npz.write(tmp_path / "own.npz", arrays | {"y_test": np.arange(5)})
    values = digits.get_config(f"data.name=npz:{tmp_path}/own.npz,steps=2,model=mlp")
    train.run(train.Config.parse(values), tmp_path / "run")
    model = train.load(tmp_path / "run")
    expected = model.logits(features.astype(np.float32))
    np.testing.assert_array_equal(model.logits(features.astype(float)), expected)
    for value in (np.nan, 1e300):
        with pytest.raises(ValueError, match=r"inputs( as float32)? must be finite, row 1 is not"):
            model.predict(np.stack([features[0], np.full(features.shape[1], value)]))


def test_a_config_that_was_not_parsed_is_named():
    with pytest.raises(TypeError, match=r"config must be a train\.Config, got ConfigDict; use "):
        train.experiment(digits.get_config())


def test_what_cannot_be_loaded_is_named(run, tmp_path):
    workdir, _ = run
    with pytest.raises(FileNotFoundError, match="is not the workdir of a run"):
        train.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"has no checkpoint 7; available: .*30"):
        train.load(workdir, step=7)
    message = r"inputs must be uint8 \[n, 8, 8, 1\], got float64 \[2\]"
    with pytest.raises(ValueError, match=message):
        train.load(workdir).predict(np.zeros(2))
    train.run(_config(), tmp_path / "whole")
    with pytest.raises(ValueError, match="has no best checkpoint: nothing was held out"):
        train.load(tmp_path / "whole", step="best")


def test_a_damaged_checkpoint_is_not_loaded(run, tmp_path, monkeypatch):
    workdir, _ = run
    sums = checkpoint_content.checksums
    ones = lambda *args: dict.fromkeys(sums(*args), 1)  # noqa: E731
    monkeypatch.setattr(checkpoint_content, "checksums", ones)
    with pytest.raises(ValueError, match=r"the checksum of \[0\]\.params\[.* is 1, recorded"):
        train.load(workdir)


def test_damage_is_named(run, tmp_path):
    workdir = shutil.copytree(run[0], tmp_path / "run")
    for path in workdir.glob("checkpoints/*/metrics/metrics"):
        path.write_text("")
    assert train.load(workdir).step == 30
    with pytest.raises(ValueError, match=r"a score in .* is damaged"):
        train.load(workdir, step="best")
    shutil.rmtree(workdir / "checkpoints" / "30" / "tree")
    with pytest.raises(ValueError, match=r"checkpoint 30 in .* is damaged"):
        train.load(workdir)
    (workdir / "config.json").write_text("{")
    with pytest.raises(ValueError, match=r"config\.json is damaged"):
        train.load(workdir)
    (workdir / "config.json").unlink()
    with pytest.raises(OSError, match=r"it has checkpoints but no config\.json"):
        train.run(_config(data__validation=0.2), workdir)
    (workdir / "network.json").write_text("{}")
    with pytest.raises(ValueError, match=r"network\.json is damaged: it lacks"):
        train.load(workdir)


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


def test_inputs_are_preprocessed_as_in_training():
    trained = train.TrainedModel(
        config=_config(model__dtype="bfloat16"),
        step=0,
        class_names=("a", "b"),
        model=models.create("mlp", num_classes=2, dtype="bfloat16"),
        variables={},
        shape=(3,),
        dtype=np.dtype("float32"),
        mean=np.zeros(3),
        std=np.ones(3),
    )
    seen = jax.eval_shape(trained.preprocess, jnp.zeros((2, 3)))
    assert (seen.dtype, seen.shape) == (jnp.bfloat16, (2, 3))
