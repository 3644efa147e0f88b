"""The network that a run leaves, loaded without its data."""

import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import digits, overrides
from dm_jax import data, models, npz, train
from dm_jax.train import checkpoint_content, checkpoint_reader


def _config(arguments: str = "") -> train.Config:
    config = digits.get_config(
        "steps=30,train.checkpoint_every=10 steps,train.evaluate_every=10 steps,parallel.devices=1"
    )
    return train.Config.parse(overrides.apply(config, arguments))


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The workdir of a run that held out a part, of a network with dropout, and its summary."""
    workdir = tmp_path_factory.mktemp("run")
    changes = "data.validation=0.2,train.keep_checkpoints=1,model.dropout=0.1"
    return workdir, train.run(_config(changes), workdir)


def test_a_trained_network_predicts_without_its_data(run, monkeypatch):
    workdir, summary = run
    loaded = data.load("digits")
    test = loaded.test
    monkeypatch.setattr(data, "load", None)
    trained = train.load(workdir)
    assert (trained.mean, trained.std) == (loaded.mean, loaded.std)
    assert trained.step == 30
    assert trained.class_names == tuple("0123456789")
    accuracy = np.mean(trained.predict(test.inputs) == test.labels)
    assert accuracy == pytest.approx(summary.final("test_accuracy"), abs=1e-6)
    several = trained.logits(test.inputs[:70], batch_size=32)
    np.testing.assert_allclose(several, trained.logits(test.inputs)[:70], atol=1e-5)
    assert several.dtype == np.float32
    single = trained.logits(test.inputs[:1])
    np.testing.assert_allclose(single, several[:1], atol=1e-5)
    assert trained.logits(test.inputs[:0]).shape == (0, 10)
    features = trained.features(test.inputs)
    assert features.shape[0] == len(test)
    last = trained.variables["params"]["classifier"]["dense"]
    np.testing.assert_allclose(
        features @ last["kernel"] + last["bias"], trained.logits(test.inputs), atol=1e-4
    )
    assert trained.features(test.inputs[:0]).shape == (0, features.shape[1])


def test_nothing_is_predicted_of_nothing_by_any_network(tmp_path):
    train.run(_config(), tmp_path)
    trained = train.load(tmp_path)
    assert trained.predict(np.zeros((0, 8, 8, 1), np.uint8)).shape == (0,)
    for method in (trained.logits, trained.predict, trained.features):
        with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
            method(np.zeros((1, 8, 8, 1), np.uint8), batch_size=0)


def test_a_workdir_may_be_in_the_users_home(run, monkeypatch):
    workdir, _ = run
    monkeypatch.setenv("HOME", str(workdir.parent))
    assert train.load(f"~/{workdir.name}").step == 30


def test_the_best_is_that_of_the_validation(run):
    workdir, summary = run
    scores = dict(summary.curve("validation_accuracy_given"))
    best = max(scores, key=lambda step: scores[step])  # of ties the first
    assert train.load(workdir, step="best").step == best
    kept = {int(path.name) for path in (workdir / "checkpoints").iterdir()}
    assert kept == {best, 30}


class _StopAt(train.NoProgress):
    """Asks the run to stop when it has taken that many steps."""

    def __init__(self, step):
        self._step = step

    def update(self, step):
        if step == self._step:
            signal.raise_signal(signal.SIGTERM)


@pytest.mark.parametrize("stops", [(), (9, 15)])
def test_the_best_is_saved_where_no_checkpoint_is_due_and_is_the_same_after_a_stop(tmp_path, stops):
    changes = "data.validation=0.2,train.evaluate_every=3 steps,train.checkpoint_every=20 steps"
    for stop in stops:
        assert not train.run(_config(changes), tmp_path, progress=_StopAt(stop)).finished
    summary = train.run(_config(changes), tmp_path)
    scores = dict(summary.curve("validation_accuracy_given"))
    best = train.load(tmp_path, step="best").step
    assert best == max(scores, key=lambda step: scores[step])
    assert best % 20


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


def test_a_damaged_checkpoint_is_read_once(run, tmp_path, monkeypatch):
    shutil.copytree(run[0], tmp_path / "run")
    (tmp_path / "run/checkpoints/30/meta/metadata").write_text("{")
    tried, read = [], checkpoint_reader._read_variables
    monkeypatch.setattr(
        checkpoint_reader, "_read_variables", lambda *which: tried.append(which) or read(*which)
    )
    with pytest.raises(ValueError, match=r"checkpoint 30 in .* is damaged"):
        train.load(tmp_path / "run")
    assert len(tried) == 1


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
    for dtype in (float, np.uint8, int):
        np.testing.assert_array_equal(model.logits(features.astype(dtype)), expected)
    for value in (np.nan, 1e300):
        with pytest.raises(ValueError, match=r"inputs( as float32)? must be finite, row 1 is not"):
            model.predict(np.stack([features[0], np.full(features.shape[1], value)]))


def test_what_cannot_be_loaded_is_named(run, tmp_path):
    workdir, _ = run
    with pytest.raises(FileNotFoundError, match="is not the workdir of a run"):
        train.load(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"has no checkpoint 7; available: .*30"):
        train.load(workdir, step=7)
    message = r"inputs must be uint8 \[n, 8, 8, 1\], got float64 \[2\]"
    with pytest.raises(ValueError, match=message):
        train.load(workdir).predict(np.zeros(2))
    with pytest.raises(ValueError, match=r"must be uint8 .*, got float32 \[2, 8, 8, 1\]"):
        train.load(workdir).predict(np.zeros((2, 8, 8, 1), np.float32))
    train.run(_config(), tmp_path / "whole")
    with pytest.raises(ValueError, match="has no best checkpoint: nothing was held out"):
        train.load(tmp_path / "whole", step="best")


def test_a_damaged_checkpoint_is_not_loaded(run, tmp_path, monkeypatch):
    workdir, _ = run
    sums = checkpoint_content.checksums

    def ones(*args):
        return dict.fromkeys(sums(*args), 1)

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
    with pytest.raises(FileNotFoundError, match=r"workdir of a run: it has no config\.json"):
        train.load(workdir)
    with pytest.raises(OSError, match=r"it has checkpoints but no config\.json"):
        train.run(_config("data.validation=0.2"), workdir)
    (workdir / "network.json").write_text("{}")
    with pytest.raises(ValueError, match=r"network\.json is damaged: it lacks"):
        train.load(workdir)


def test_inputs_are_preprocessed_as_in_training():
    trained = train.TrainedModel(
        config=_config("model.dtype=bfloat16"),
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
