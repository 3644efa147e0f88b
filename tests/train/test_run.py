"""One run from config to summary: what it leaves, what it refuses, how it fails."""

import contextlib
import dataclasses
import json
import shutil
import threading

import jax
import numpy as np
import pytest

from dm_jax import data, noise, npz, train
from dm_jax.train import build
from dm_jax.train import recorder as recorder_lib
from dm_jax.train import workdir as workdir_lib
from dm_jax.train.checkpoints import Checkpoints, Restored
from dm_jax.train.recorder import Recorder
from dm_jax.train.writers import MetricsFile
from tests.train import tiny


def _config(**changes) -> train.Config:
    intervals = {"train__checkpoint_every": "10 steps", "train__log_every": "10 steps"}
    return tiny.config(**(intervals | {"parallel__devices": 1} | changes))


def _run(workdir, config=None, **options) -> train.Summary:
    return train.run(config or _config(), workdir, **options)


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A workdir whose run is over, and its summary."""
    workdir = tmp_path_factory.mktemp("finished")
    return workdir, _run(workdir)


def test_what_a_run_leaves(finished):
    workdir, summary = finished
    assert {path.name for path in workdir.iterdir()} == {
        "config.json",
        "environment.json",
        "corruption.npz",
        "network.json",
        "metrics.jsonl",
        "lock",
        "tensorboard",
        "checkpoints",
    }
    assert train.Config.parse(json.loads((workdir / "config.json").read_text())) == _config()
    environment = json.loads((workdir / "environment.json").read_text())
    assert environment["versions"]["jax"] == jax.__version__
    assert "cpu" in environment["device"]
    assert noise.Corruption.load(workdir / "corruption.npz").hash == summary.corruption
    assert sorted(path.name for path in (workdir / "checkpoints").iterdir()) == ["10", "20"]
    assert list((workdir / "tensorboard").iterdir())


def test_the_summary_of_a_run(finished):
    _, summary = finished
    assert summary.finished
    assert summary.step == summary.total == 20
    assert summary.actual_rate == pytest.approx(0.4, abs=0.01)
    assert [step for step, _ in summary.curve("train_loss")] == [10, 20]
    assert summary.final() == summary.curve("test_accuracy")[-1][1]
    assert summary.best() == max(value for _, value in summary.curve("test_accuracy"))
    assert np.isnan(summary.final("validation_accuracy"))
    assert 0 < summary.final("fit_accuracy_given") < summary.final("fit_accuracy") <= 1


def test_a_line_has_the_learning_rate_of_the_last_step_before_it(tmp_path):
    schedule = {"schedule__name": "steps", "schedule__boundaries": ("10 steps",)}
    rates = dict(_run(tmp_path, _config(**schedule)).curve("learning_rate"))
    assert rates == {10: pytest.approx(0.03), 20: pytest.approx(0.003)}


def test_a_finished_run_started_again_says_the_same(finished):
    workdir, summary = finished
    before = (workdir / "metrics.jsonl").read_bytes()
    again = _run(workdir)
    assert (again.rows, again.step) == (summary.rows, summary.step)
    assert (workdir / "metrics.jsonl").read_bytes() == before


def test_a_workdir_in_which_another_trains_is_refused(finished):
    workdir, _ = finished
    before = (workdir / "config.json").read_text()
    other = _config(optimizer__learning_rate=9.0)
    with (
        workdir_lib.lock(workdir),
        pytest.raises(train.WorkdirInUseError, match="another process trains in"),
    ):
        _run(workdir, other, allow_changes=True)
    assert (workdir / "config.json").read_text() == before


@pytest.mark.parametrize("labels", ["clean", "noisy"])
def test_the_best_checkpoint_is_that_of_the_labels_that_validation_was_given(tmp_path, labels):
    config = _config(
        data__validation=0.3,
        data__validation_labels=labels,
        noise__rate=0.7,
        train__length="60 steps",
        train__evaluate_every="10 steps",
        train__keep_checkpoints=1,
    )
    summary = _run(tmp_path, config)
    scores = dict(summary.curve("validation_accuracy_given"))
    best = {step for step, score in scores.items() if score == max(scores.values())}
    kept = {int(path.name) for path in (tmp_path / "checkpoints").iterdir()}
    assert kept & best
    assert kept <= best | {60}
    assert (scores == dict(summary.curve("validation_accuracy"))) == (labels == "clean")


def test_a_checkpoint_at_which_nothing_was_evaluated_has_no_score(tmp_path):
    """Least of all that of an earlier checkpoint."""
    changes = {"data__validation": 0.2, "train__keep_checkpoints": 9}
    _run(tmp_path, _config(**changes, train__length="40 steps", train__evaluate_every="20 steps"))
    scored = {path.parts[-3] for path in tmp_path.glob("checkpoints/*/metrics/metrics")}
    assert scored == {"20", "40"}


def test_a_finished_run_whose_end_is_gone_is_not_taken_for_whole(finished, tmp_path):
    workdir = tmp_path / "cut"
    shutil.copytree(finished[0], workdir)
    metrics = workdir / "metrics.jsonl"
    metrics.write_text("".join(metrics.read_text().splitlines(keepends=True)[:1]))
    with pytest.raises(OSError, match=r"trained to step \d+, but metrics.jsonl lacks its end"):
        _run(workdir)


def test_metrics_are_on_disk_before_a_checkpoint_is_written(tmp_path, monkeypatch):
    told, save = [], Checkpoints.save
    monkeypatch.setattr(MetricsFile, "sync", lambda self: told.append("sync"))
    monkeypatch.setattr(
        Checkpoints, "save", lambda *args, **kw: (told.append("save"), save(*args, **kw))
    )
    _run(tmp_path)
    assert told == ["sync", "save"] * 2


def test_two_threads_do_not_train_at_once(tmp_path):
    """orbax would mix their checkpoints."""

    class Second(train.NoProgress):
        error = None

        def start(self, total, step):
            thread = threading.Thread(target=self.train)
            thread.start()
            thread.join()

        def train(self):
            try:
                _run(tmp_path / "second")
            except RuntimeError as error:
                self.error = error

    second = Second()
    assert _run(tmp_path / "first", progress=second).finished
    assert "another thread of this process trains" in str(second.error)


def test_what_a_killed_write_left_is_removed(tmp_path):
    (tmp_path / "config.json.1-2.partial").write_text("{")
    _run(tmp_path)
    assert not list(tmp_path.glob("*.partial"))


def test_a_workdir_of_another_config_is_refused_by_its_keys(finished):
    workdir, _ = finished
    before = (workdir / "config.json").read_text()
    changed = _config(loss__beta=4.0, train__length="30 steps")
    message = r"changed keys: config.loss.beta: 20.0 -> 4.0; config.train.length: '20 steps' -> "
    with pytest.raises(ValueError, match=message):
        _run(workdir, changed)
    assert (workdir / "config.json").read_text() == before


def test_other_devices_are_no_other_config(tmp_path):
    _run(tmp_path)
    again = _run(tmp_path, _config(parallel__devices=8, parallel__mode="pmap"))
    assert again.finished


def test_a_change_that_is_allowed_goes_on(tmp_path):
    first = _run(tmp_path)
    longer = _config(train__length="30 steps", loss__beta=4.0)
    summary = _run(tmp_path, longer, allow_changes=True)
    assert summary.step == 30
    assert summary.rows[: len(first.rows)] == first.rows
    assert train.Config.parse(json.loads((tmp_path / "config.json").read_text())) == longer


def test_fewer_steps_than_a_run_has_taken_are_refused(tmp_path):
    _run(tmp_path)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match=r"train\.length is 10 steps, but .* already taken 20"):
        _run(tmp_path, _config(train__length="10 steps"), allow_changes=True)
    assert (tmp_path / "config.json").read_text() == before


def test_a_finished_run_is_not_relabelled(tmp_path):
    _run(tmp_path)
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match=r"is finished, .*config\.loss\.beta: 20\.0 -> 4\.0"):
        _run(tmp_path, _config(loss__beta=4.0), allow_changes=True)
    assert (tmp_path / "config.json").read_text() == before


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert _run("~/run").finished
    assert (tmp_path / "run" / "config.json").exists()


def test_a_change_that_is_allowed_takes_effect(tmp_path):
    """A checkpoint holds the scheme and the rate of before; the config has the say."""
    _run(tmp_path)
    changed = _config(
        train__length="30 steps", loss__beta=4.0, optimizer__learning_rate=0.5, seed=7
    )
    _run(tmp_path, changed, allow_changes=True)
    (state, _) = _newest_checkpoint(tmp_path, changed).tree
    assert float(state.edf.beta) == 4.0
    assert float(state.opt_state.hyperparams["learning_rate"]) == 0.5
    assert state.rng == build.experiment(changed).create_state(7).rng


def _newest_checkpoint(workdir, config) -> Restored:
    running = tiny.engine(build.experiment(config))
    state = running.experiment.create_state(0)
    with contextlib.closing(Checkpoints(workdir / "checkpoints", keep=2)) as checkpoints:
        return checkpoints.restore((state, running.empty_totals(state)))


def test_other_labels_are_no_resumed_run(tmp_path):
    _run(tmp_path)
    message = r"corruption.npz has hash \w+, but this config now gives \w+"
    with pytest.raises(ValueError, match=message):
        _run(tmp_path, _config(noise__rate=0.2), allow_changes=True)
    assert _run(tmp_path).finished


def test_other_data_are_no_resumed_run(tmp_path):
    """As vectors that were made anew, or another folder of prepared data."""
    digits = data.load("digits")
    for name, change in (("a", 0), ("b", 1)):
        train, test = digits.train, digits.test
        arrays = {"x_train": train.inputs + np.uint8(change), "y_train": train.labels}
        arrays |= {"x_test": test.inputs, "y_test": test.labels}
        npz.write(tmp_path / name / "own.npz", arrays)
    first, second = (
        _config(data__name="npz:own.npz", data__data_dir=str(tmp_path / name)) for name in "ab"
    )
    _run(tmp_path / "run", first)
    with pytest.raises(
        ValueError, match=r"on data of fingerprint '\w{64}', but that of npz:own.npz is '\w{64}'"
    ):
        _run(tmp_path / "run", second, allow_changes=True)
    assert _run(tmp_path / "run", first).finished


def test_the_seconds_are_those_of_all_starts(tmp_path):
    first = _run(tmp_path)
    before = _newest_checkpoint(tmp_path, _config()).seconds
    longer = _run(tmp_path, _config(train__length="30 steps"), allow_changes=True)
    after = _newest_checkpoint(tmp_path, _config()).seconds
    assert 0 < before < first.seconds
    assert before < after < longer.seconds
    # A start that finds the run finished adds nothing.
    assert _run(tmp_path, _config(train__length="30 steps")).seconds == after


def test_another_network_is_not_resumed(tmp_path):
    _run(tmp_path)
    other = _config(model__hidden=(32,), train__length="30 steps")
    with pytest.raises(ValueError, match=r"checkpoint 20 .* was written with a different network"):
        _run(tmp_path, other, allow_changes=True)
    assert (tmp_path / "checkpoints" / "20").exists()
    assert _run(tmp_path).finished


def test_a_workdir_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match=r"workdir .*file/below cannot be used: .*Not a directory"):
        _run(tmp_path / "file" / "below")


# Orbax gives up its own thread's event loop when a write fails.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_ends_the_run_and_harms_nothing(tmp_path):
    """The limit lets small files through and stops the checkpoints of a network that is larger."""
    before = _run(tmp_path)
    largest = max(p.stat().st_size for p in tmp_path.rglob("*") if p.is_file())
    longer = _config(train__length="60 steps")
    message = r"could not be written to .*step 20"
    with tiny.file_size_limit(largest // 2), pytest.raises(OSError, match=message):
        _run(tmp_path, longer, allow_changes=True)
    after = _run(tmp_path, longer, allow_changes=True)
    assert after.finished
    assert after.rows[: len(before.rows)] == before.rows


def test_a_loss_that_is_not_finite_stops_the_run(tmp_path):
    """Good until step 10, where the rate explodes; the checkpoint of step 10 is the last."""
    config = _config(
        loss={"name": "CCE"},
        loss__normalization="none",
        schedule__name="steps",
        schedule__boundaries=("12 steps",),
        schedule__factor=1e30,
    )
    message = (
        r"the loss was not finite at step 14 \(learning rate 3e\+28\); "
        r"the last good checkpoint is of step 10"
    )
    with pytest.raises(train.NonFiniteLossError, match=message):
        _run(tmp_path, config)
    assert [path.name for path in (tmp_path / "checkpoints").iterdir()] == ["10"]


def test_parameters_that_are_not_finite_are_not_kept(tmp_path):
    """The step before a checkpoint may explode though its loss, of the weights before, was fine."""
    running = tiny.engine(build.experiment(_config()))
    state, window = tiny.train(running, end=10)
    spoilt = (
        state.replace(params=jax.tree.map(lambda x: x * np.inf, state.params)),
        state.replace(batch_stats={"mean": np.array([0.0, np.nan])}),
    )
    with contextlib.closing(Checkpoints(tmp_path / "checkpoints", keep=2)) as checkpoints:
        recorder = Recorder(running, tmp_path, checkpoints, train.NoProgress(), start=0)
        message = r"parameters were not finite at step 10 .*; there is no checkpoint"
        for one in spoilt:
            with pytest.raises(train.NonFiniteLossError, match=message):
                recorder.checkpoint(10, one, window)
        assert checkpoints.latest is None
        recorder.close()


def test_the_rate_of_steps_leaves_out_compilation_and_evaluations(tmp_path, monkeypatch):
    now, shown = 0.0, []
    monkeypatch.setattr(recorder_lib.time, "monotonic", lambda: now)

    class Display(train.NoProgress):
        def show(self, step, values):
            shown.append((step, values.get("steps/s")))

    running = tiny.engine(build.experiment(_config()))
    state, window = tiny.train(running, end=10)

    def evaluate_all(state, *, last):
        nonlocal now
        now += 100.0
        return {}

    def save(*_, **__):
        nonlocal now
        now += 50.0

    monkeypatch.setattr(running, "evaluate_all", evaluate_all)
    with contextlib.closing(Checkpoints(tmp_path / "checkpoints", keep=2)) as checkpoints:
        monkeypatch.setattr(checkpoints, "save", save)
        recorder = Recorder(running, tmp_path, checkpoints, Display(), start=0)
        now += 60.0  # compiles
        recorder.log(5, window)
        for step in (10, 20):
            now += 2.0
            recorder.log(step, window)
            recorder.evaluate(step, state)
            recorder.checkpoint(step, state, window)
        recorder.close()
    assert [rate for _, rate in shown] == [None, 2.5, None, 5.0, None]


def test_a_data_set_of_arrays_can_be_trained_on_resumed_and_loaded(tmp_path):
    loaded = data.load("digits")
    own = dataclasses.replace(loaded, name="own", class_names=tuple("abcdefghij"))
    config = _config(train__length="20 steps")
    first = train.run(config, tmp_path, dataset=own)
    assert first.finished
    longer = _config(train__length="30 steps")
    assert train.run(longer, tmp_path, dataset=own, allow_changes=True).step == 30
    assert train.load(tmp_path).class_names == own.class_names
    other = data.Split(255 - loaded.train.inputs, loaded.train.labels)
    with pytest.raises(ValueError, match=r"a run on data of fingerprint .* that of own is"):
        train.run(longer, tmp_path, dataset=dataclasses.replace(own, train=other))
    with pytest.raises(TypeError, match=r"dataset must be a data\.Dataset or .*, got Split"):
        train.run(longer, tmp_path, dataset=other)
