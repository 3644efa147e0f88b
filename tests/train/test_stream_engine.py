"""Training on streams: exact, resumable, and the same however it is spread."""

import dataclasses
import json
import os
import signal
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import retrieval, train
from dm_jax.data import streamed_dataset
from dm_jax.data.records import Records
from dm_jax.data.stream import Batching, eval_stream, train_stream
from dm_jax.train import build, parallel, retrieval_eval
from dm_jax.train.config import Config
from dm_jax.train.stream_engine import StreamEngine
from tests.train import hosts, streams, tiny

pytest.importorskip("tensorflow", reason="TensorFlow, which prepares data, is not installed")
pytest.importorskip("cv2", reason="OpenCV is not installed")


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory) -> str:
    return streams.prepare_both(tmp_path_factory.mktemp("streams"))


def _rows(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


def _batches(data_dir: str, config: Config):
    size = Batching(config.train.batch_size, resize=config.data.resize, crop=config.data.crop)
    return train_stream(Records("clothing1m", "train", data_dir), size, seed=config.seed)


class _Interrupter(train.NoProgress):
    """Sends this process SIGTERM when a step is done."""

    def __init__(self, step: int):
        self.step = step

    def update(self, step: int) -> None:
        """Once."""
        if step == self.step:
            os.kill(os.getpid(), signal.SIGTERM)


def test_a_stopped_run_goes_on_at_the_very_next_batch(data_dir, tmp_path):
    config = streams.config("clothing1m", data_dir)
    whole = train.run(config, tmp_path / "whole", progress=train.NoProgress())
    stopped = train.run(config, tmp_path / "parts", progress=_Interrupter(1))
    assert not stopped.finished
    resumed = train.run(config, tmp_path / "parts", progress=train.NoProgress())
    assert whole.finished
    assert resumed.finished
    assert _rows(tmp_path / "parts") == _rows(tmp_path / "whole")
    assert {"test_accuracy", "validation_accuracy"} <= _rows(tmp_path / "whole")[-1].keys()
    assert np.isnan(whole.actual_rate), "nobody knows which of the labels are wrong"


def test_a_step_sees_the_batch_of_its_number(data_dir):
    config = streams.config("clothing1m", data_dir, seed=3)
    engine = streams.engine(build.experiment(config))
    expected = [batch for batch, _ in zip(_batches(data_dir, config), range(4), strict=False)]
    for step in (0, 1, 3, 2):
        block = engine.block(step, step + 1)
        for name in ("inputs", "labels", "index"):
            np.testing.assert_array_equal(block[name][0], expected[step][name])
    engine.close()
    assert engine._training._running is None  # nothing decodes any longer


def test_the_evaluation_covers_every_image_once(data_dir):
    """Ten images over eight devices, the second batch padded, beside one batch of ten."""
    built = build.experiment(streams.config("clothing1m", data_dir, parallel__devices=8))
    engine, state = streams.engine(built), built.create_state(0)
    found = engine.evaluate_all(engine.place(state), last=True)
    size = Batching(10, resize=20, crop=16)
    (batch,) = eval_stream(Records("clothing1m", "test", data_dir), size)
    logits = built.settings.model.apply(
        {"params": state.params}, built.settings.preprocess(batch["inputs"]), train=False
    )
    losses = -jax.nn.log_softmax(logits)[np.arange(10), batch["labels"]]
    assert found["test_accuracy"] == np.mean(logits.argmax(-1) == batch["labels"])
    assert found["test_loss"] == pytest.approx(float(losses.mean()), rel=1e-5)


def _train_small_network(data_dir, mode, devices):
    parallel = {"parallel__mode": mode, "parallel__devices": devices}
    built = build.experiment(streams.config("clothing1m", data_dir, **parallel))
    # A network with BatchNorm and dropout.
    net = tiny.Net(classes=14)
    built = dataclasses.replace(built, settings=dataclasses.replace(built.settings, model=net))
    engine = streams.engine(built)
    state, totals = tiny.train(engine, end=3)
    evaluated = engine.evaluate_all(state, last=True)
    engine.close()
    return state.params, totals.means(), evaluated


@pytest.mark.long
def test_devices_and_modes_agree(data_dir):
    params, means, evaluated = _train_small_network(data_dir, "jit", 1)
    for mode, devices in (("jit", 8), ("pmap", 4)):
        others = _train_small_network(data_dir, mode, devices)
        assert tiny.distance(params, others[0]) < 1e-5
        assert others[1] == pytest.approx(means, rel=1e-4, nan_ok=True)
        assert others[2] == pytest.approx(evaluated, rel=1e-4)


@pytest.mark.parametrize(("mode", "devices"), [("jit", 1), ("pmap", 4)])
def test_mars_is_scored_by_the_mean_features_of_its_tracklets(data_dir, mode, devices):
    changes = {"parallel__mode": mode, "parallel__devices": devices, "model__dropout": 0.5}
    built = build.experiment(streams.config("mars", data_dir, **changes))
    engine, state = streams.engine(built), built.create_state(3)
    found = engine.evaluate_all(engine.place(state), last=False)
    size = Batching(sum(frames for *_, frames in streams.TEST), resize=20, crop=16)
    (batch,) = eval_stream(Records("mars", "test", data_dir), size)
    _, features = built.settings.model.apply(
        {"params": state.params}, built.settings.preprocess(batch["inputs"]), features=True
    )
    person, camera, frames = (np.array(column) for column in zip(*streams.TEST, strict=True))
    of_frame = np.repeat(np.arange(len(frames)), frames)
    means = retrieval.tracklet_features(np.asarray(features), of_frame, len(frames))
    queries = np.array(streams.QUERIES) - 1
    scores = retrieval.evaluate(
        means[queries], person[queries], camera[queries], means, person, camera
    )
    assert found["test_mAP"] == pytest.approx(scores.mean_average_precision)
    assert found["test_CMC-1"] == pytest.approx(scores.cmc[1])
    assert "test_accuracy" not in found, "the people of the test are no classes"


def _damage_the_first_test_image(monkeypatch):
    read = Records.__getitem__

    def damaged(records, index):
        record = read(records, index)
        return record._replace(image=b"") if " test[0]" in record.key else record

    monkeypatch.setattr(Records, "__getitem__", damaged)


def test_tracklets_without_an_intact_frame_are_left_out(data_dir, monkeypatch, caplog):
    """Here the only frame of the only junk tracklet, which counts for nothing."""
    built = build.experiment(streams.config("stream:mars", data_dir, data__damaged="skip"))
    engine = streams.engine(built)
    state = engine.place(built.create_state(3))
    intact = engine.evaluate_all(state, last=False)
    _damage_the_first_test_image(monkeypatch)
    assert engine.evaluate_all(state, last=False) == pytest.approx(intact)
    assert 0 < intact["test_mAP"] < 1
    assert "1 tracklets have no intact frame" in caplog.text


def test_a_retrieval_test_needs_an_intact_frame(data_dir):
    test = streamed_dataset.load("mars", data_dir=data_dir).retrieval_test
    batch = {"features": np.ones((2, 3)), "index": np.arange(2), "where": np.zeros(2, bool)}
    with pytest.raises(ValueError, match="no frame of the test is intact"):
        retrieval_eval.scores([batch], test)


def test_a_score_says_how_many_images_it_is_over(data_dir, monkeypatch):
    built = build.experiment(streams.config("clothing1m", data_dir, data__damaged="skip"))
    engine = streams.engine(built)
    state = engine.place(built.create_state(0))
    intact = engine.evaluate_all(state, last=False)
    _damage_the_first_test_image(monkeypatch)
    found = engine.evaluate_all(state, last=False)
    assert intact["test_examples"] == len(built.dataset.held_out["test"])
    assert found["test_examples"] == intact["test_examples"] - 1
    assert found["validation_examples"] == intact["validation_examples"]


def test_a_search_leaves_the_test_alone(data_dir):
    built = build.experiment(streams.config("clothing1m", data_dir, data__test=False))
    engine = streams.engine(built)
    found = engine.evaluate_all(engine.place(built.create_state(0)), last=True)
    assert {name.split("_")[0] for name in found} == {"validation"}
    built = build.experiment(streams.config("mars", data_dir, data__test=False))
    assert streams.engine(built).evaluate_all(built.create_state(0), last=True) == {}


def test_a_streamed_set_has_its_classes_and_is_normalised_as_pretrained_weights_expect(data_dir):
    built = build.experiment(streams.config("clothing1m", data_dir))
    assert built.dataset.num_classes == 14
    assert built.dataset.fingerprint == "clothing1m, 20 images"
    white = built.settings.preprocess(np.full((1, 1, 1, 3), 255, np.uint8))
    np.testing.assert_allclose(white[0, 0, 0], [2.2489, 2.4286, 2.6400], atol=1e-4)


@pytest.mark.parametrize(
    ("label", "lists"),
    [
        (-1, {"test": "clean_val_key_list.txt"}),
        (0, {"validation": "clean_val_key_list.txt", "test": "clean_test_key_list.txt"}),
    ],
)
def test_a_test_without_labels_is_no_test(data_dir, monkeypatch, label, lists):
    """ImageNet keeps those of its test secret: -1. Its validation is the test."""
    read = Records.__getitem__

    def secret(records, index):
        record = read(records, index)
        return record._replace(label=label) if " test[" in record.key else record

    monkeypatch.setattr(Records, "__getitem__", secret)
    held_out = streamed_dataset.load("clothing1m", data_dir=data_dir).held_out
    assert {name: len(source) for name, source in held_out.items()} == {
        name: streams.PHOTOS[file] for name, file in lists.items()
    }


def test_a_damaged_image_stops_the_run_or_is_left_out(data_dir, monkeypatch):
    read = Records.__getitem__

    def damaged(records, index):
        record = read(records, index)
        return record._replace(image=record.image[:40]) if index == 3 else record

    monkeypatch.setattr(Records, "__getitem__", damaged)
    built = build.experiment(streams.config("clothing1m", data_dir))
    with pytest.raises(ValueError, match=r"image 'clothing1m train\[3\] images/.*truncated"):
        tiny.train(streams.engine(built))
    built = build.experiment(streams.config("clothing1m", data_dir, data__damaged="skip"))
    engine = streams.engine(built)
    blocks = [engine.block(step, step + 1) for step in range(5)]  # two epochs
    masked = [index for b in blocks for index in b["index"][~np.asarray(b["where"])]]
    assert [int(index) for index in masked] == [3, 3]
    engine.close()


def test_a_label_that_is_no_class_stops_the_run(data_dir, monkeypatch):
    read = Records.__getitem__

    def mislabelled(records, index):
        return read(records, index)._replace(label=14)

    engine = streams.engine(build.experiment(streams.config("clothing1m", data_dir)))
    monkeypatch.setattr(Records, "__getitem__", mislabelled)
    with pytest.raises(ValueError, match="has label 14; accepted: whole numbers from 0 to 13"):
        engine.block(0, 1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"noise__rate": 0.4}, r"config.noise.rate must be 0.0 for clothing1m.* got 0.4"),
        ({"noise__kind": "file:x.npy"}, r"config.noise.kind must be 'symmetric' .* 'file:x.npy'"),
        ({"data__validation": 0.2}, r"config.data.validation must be 0.0"),
        ({"noise__ratio": 5.0}, r"config.noise.ratio must be 1.0"),
        ({"data__augment": "none"}, r"config.data.augment must be 'crop_flip'"),
        ({"data__last_batch": "mask"}, r"config.data.last_batch must be 'wrap'"),
        ({"model__pretrained": "x.pth"}, r"config.model.pretrained is for resnet18.*'mlp'"),
    ],
)
def test_what_a_stream_cannot_do_is_named(data_dir, changes, message):
    with pytest.raises(ValueError, match=message):
        build.experiment(streams.config("clothing1m", data_dir, **changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"train__batch_size": 6, "parallel__devices": 4}, "batch_size 6 does not divide over 4"),
        ({"data__crop": 30}, r"crop must be in 1 .. 20 \(resize\), got 30"),
    ],
)
def test_sizes_that_do_not_fit_are_named(data_dir, changes, message):
    with pytest.raises(ValueError, match=message):
        streams.engine(build.experiment(streams.config("clothing1m", data_dir, **changes)))


def test_hosts_with_different_numbers_of_devices_are_refused(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    devices = [types.SimpleNamespace(process_index=host) for host in (0, 0, 1)]
    with pytest.raises(ValueError, match=r"the same number of devices on every host, got \[2, 1\]"):
        parallel.check_equal_shares(types.SimpleNamespace(devices=np.array([devices])))


def test_each_host_decodes_every_second_example_of_a_batch(data_dir, monkeypatch):
    """Two hosts of one device, one after the other in this process."""
    config = streams.config("clothing1m", data_dir)
    whole = next(_batches(data_dir, config))
    built, mesh = build.experiment(config), parallel.make_mesh(config.parallel)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match=r"the same number of devices on every host, got \[1, 0\]"):
        StreamEngine(built, mesh, "jit")
    monkeypatch.setattr(parallel, "devices_per_host", lambda devices: [1, 1])
    for host in range(2):
        monkeypatch.setattr(jax, "process_index", lambda host=host: host)
        engine = StreamEngine(built, mesh, "jit")
        block, example = engine.block(0, 1), engine.example_block()
        for name in ("inputs", "labels", "index"):
            np.testing.assert_array_equal(block[name][0], whole[name][host::2])
        assert jax.tree.map(jnp.shape, example) == jax.tree.map(jnp.shape, block)
        engine.close()


@pytest.mark.parametrize("name", ["clothing1m", "mars"])
def test_data_that_are_not_prepared_say_how(name, tmp_path):
    config = streams.config(name, str(tmp_path))
    with pytest.raises(FileNotFoundError, match=f"experiments.prepare {name}"):
        build.experiment(config)


@pytest.mark.long
@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_two_processes_that_each_decode_half_get_the_numbers_of_one(data_dir, tmp_path, mode):
    changes = streams.SMALL | {"data.data_dir": data_dir, "parallel.mode": mode}
    changes["parallel.devices"] = 0
    base = "configs/clothing1m.py:steps=6"
    alone = hosts.start(tmp_path / "one", 8, base, changes)
    both = hosts.start_both(tmp_path / "two", base, changes)
    hosts.finish([alone, *both])
    expected, found = _rows(tmp_path / "one"), _rows(tmp_path / "two")
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for row, expected_row in zip(found, expected, strict=True):
        assert _known(row) == pytest.approx(_known(expected_row), rel=1e-5, abs=1e-6)


def _known(row: dict) -> dict:
    """Without what was not measured: no label is known to be wrong, so `p_noisy` is of none."""
    return {name: value for name, value in row.items() if value is not None}
