"""Streams: exact coverage, the same batches for any workers and processes, exact resumption."""

import dataclasses
import functools
import io
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import pytest
from PIL import Image
from scipy import stats

from dm_jax.data.image_decoding import DamagedImageError
from dm_jax.data.records import Record
from dm_jax.data.stream import Batching, eval_stream, train_stream

cv2 = pytest.importorskip("cv2", reason="OpenCV is not installed")

SMALL = Batching(batch_size=6, resize=12, crop=8)


class Pictures:
    """Random PNGs of several sizes; those in `damaged` are cut in half."""

    def __init__(self, count: int, damaged: tuple[int, ...] = ()):
        rng = np.random.default_rng(count)
        self._files = []
        for index in range(count):
            pixels = rng.integers(0, 256, (10 + index % 7, 9 + index % 5, 3), np.uint8)
            file = encoded(pixels, "PNG")
            self._files.append(file[: len(file) // 2] if index in damaged else file)

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> Record:
        return Record(self._files[index], index % 3, f"picture-{index}.png")


def encoded(pixels: np.ndarray, kind: str) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, kind, quality=95)
    return file.getvalue()


def take(stream, count):
    return [next(stream) for _ in range(count)]


def assert_same(batches, others):
    assert len(batches) == len(others)
    for batch, other in zip(batches, others, strict=True):
        assert batch.keys() == other.keys()
        for name in batch:
            np.testing.assert_array_equal(batch[name], other[name])


def test_a_batch_holds_what_is_promised():
    batch = next(train_stream(Pictures(10), SMALL, seed=0))
    kinds = {name: (array.dtype.name, array.shape) for name, array in batch.items()}
    assert kinds == {
        "inputs": ("uint8", (6, 8, 8, 3)),
        "labels": ("int32", (6,)),
        "index": ("int64", (6,)),
        "where": ("bool", (6,)),
    }
    np.testing.assert_array_equal(batch["labels"], batch["index"] % 3)
    assert batch["where"].all()


def test_epochs_are_different_permutations_and_batches_span_them():
    index = np.concatenate([b["index"] for b in take(train_stream(Pictures(10), SMALL, seed=0), 5)])
    epochs = index.reshape(3, 10)
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(10), (3, 1)))
    assert len({tuple(epoch) for epoch in epochs}) == 3


def test_the_seed_fixes_order_crops_and_flips():
    first, again, other = (
        take(train_stream(Pictures(10), SMALL, seed=seed), 4) for seed in (1, 1, 2)
    )
    assert_same(first, again)
    assert any(np.any(a["index"] != b["index"]) for a, b in zip(first, other, strict=True))
    crops, others = (next(train_stream(Pictures(1), SMALL, seed=seed)) for seed in (1, 2))
    assert np.any(crops["inputs"] != others["inputs"]), "of the only image"


def test_crops_and_flips_are_those_of_the_scaled_image():
    source = Pictures(5)
    seen = set()
    for batch in take(train_stream(source, SMALL, seed=0), 60):
        for pixels, index in zip(batch["inputs"], batch["index"], strict=True):
            same = np.all(all_crops(source, int(index)) == pixels, axis=(-3, -2, -1))
            found = np.argwhere(same)
            assert len(found) == 1
            seen.add(tuple(found[0]))
    assert len(seen) == 2 * 5 * 5


@functools.cache
def all_crops(source, index):
    """Every crop and its mirror image, by the plain way: scale the whole image, cut it, flip it.

    uint8 [2, 5, 5, 8, 8, 3]: flipped or not, row, column, and the pixels.
    """
    pixels = cv2.imdecode(np.frombuffer(source[index].image, np.uint8), cv2.IMREAD_COLOR_RGB)
    scaled = cv2.resize(pixels, (12, 12), interpolation=cv2.INTER_LINEAR)
    cut = [[scaled[row : row + 8, column : column + 8] for column in range(5)] for row in range(5)]
    return np.stack([cut, np.array(cut)[..., ::-1, :]])


def test_evaluation_covers_every_image_once_from_the_centre():
    source = Pictures(10)
    stream = eval_stream(source, SMALL)
    batches = list(stream)
    assert len(stream) == len(batches) == 2
    index = np.concatenate([b["index"] for b in batches])
    where = np.concatenate([b["where"] for b in batches])
    assert index.tolist() == [*range(10), -1, -1]
    assert where.tolist() == [True] * 10 + [False] * 2
    inputs = np.concatenate([b["inputs"] for b in batches])
    for pixels, number in zip(inputs[:10], range(10), strict=True):
        np.testing.assert_array_equal(all_crops(source, number)[0, 2, 2], pixels)
    assert stream.skipped == 0


@pytest.mark.parametrize("count", [2, 3])
def test_processes_share_the_batches_of_one(count):
    whole = take(train_stream(Pictures(10), SMALL, seed=4), 5)
    parts = [
        take(train_stream(Pictures(10), shard(index, count), seed=4), 5) for index in range(count)
    ]
    for step, batch in enumerate(whole):
        for name, array in batch.items():
            for index in range(count):
                np.testing.assert_array_equal(parts[index][step][name], array[index::count])
    lengths = {len(eval_stream(Pictures(10), shard(index, count))) for index in range(count)}
    assert lengths == {2}
    resumed = train_stream(Pictures(10), SMALL, seed=4)
    part = train_stream(Pictures(10), shard(1, count), seed=4)
    part.seek(3)
    resumed.set_state(part.get_state())
    assert_same(take(resumed, 2), whole[3:])


def shard(index, count):
    return Batching(batch_size=6, resize=12, crop=8, process_index=index, process_count=count)


def test_a_stream_goes_on_at_the_very_next_batch():
    expected = take(train_stream(Pictures(20), SMALL, seed=5), 7)
    stream = train_stream(Pictures(20), SMALL, seed=5)
    take(stream, 3)
    saved = json.dumps(stream.get_state())
    take(stream, 2)
    stream.set_state(json.loads(saved))
    assert_same(take(stream, 4), expected[3:])


def test_workers_give_the_same_batches_and_their_state_is_that_of_any_stream():
    expected = take(train_stream(Pictures(20), SMALL, seed=5), 7)
    stream = train_stream(Pictures(20), SMALL, seed=5, workers=2)
    assert_same(take(stream, 3), expected[:3])
    saved = json.dumps(stream.get_state())
    assert_same(take(stream, 2), expected[3:5])
    stream.close()
    resumed = train_stream(Pictures(20), SMALL, seed=5)
    resumed.set_state(json.loads(saved))
    assert_same(take(resumed, 4), expected[3:])


SIGNALLED = """
import multiprocessing, os, signal
from tests.data.test_stream import SMALL, Pictures, assert_same, take
from dm_jax.data.stream import train_stream
if __name__ == "__main__":
    stream = train_stream(Pictures(20), SMALL, seed=5, workers=2)
    first = take(stream, 1)
    workers = multiprocessing.active_children()
    for worker in workers:
        os.kill(worker.pid, signal.SIGTERM)
        os.kill(worker.pid, signal.SIGINT)
    rest = take(stream, 12)
    assert_same(first + rest, take(train_stream(Pictures(20), SMALL, seed=5), 13))
    stream.close()
    print(*(worker.is_alive() for worker in workers))
"""


def test_workers_outlive_the_signals_that_stop_a_job(tmp_path):
    """SLURM and terminals signal every process; the trainer goes on to a checkpoint.

    In a new process, where the workers are the first that multiprocessing starts.
    """
    (tmp_path / "signalled.py").write_text(SIGNALLED)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    command = [sys.executable, tmp_path / "signalled.py"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert (done.stdout, done.returncode) == ("False False\n", 0), done.stderr


@pytest.mark.parametrize("workers", [0, 1])
def test_a_stream_stays_at_the_batch_of_the_damaged_image(workers):
    stream = eval_stream(Pictures(20, damaged=(7,)), SMALL, workers=workers)
    next(stream)
    for _ in range(2):
        with pytest.raises(Exception, match=r"picture-7\.png"):
            next(stream)
        assert stream.get_state()["next_batch"] == 1
    stream.close()


ORPHANS = """
import multiprocessing, os, signal, sys
from tests.data.test_stream import SMALL, Pictures
from dm_jax.data.stream import train_stream
if __name__ == "__main__":
    stream = train_stream(Pictures(20), SMALL, seed=5, workers=2)
    next(stream)
    print(*(worker.pid for worker in multiprocessing.active_children()), flush=True)
    os.kill(os.getpid(), signal.SIGKILL)
"""


def test_workers_end_with_a_trainer_that_is_killed(tmp_path):
    (tmp_path / "orphans.py").write_text(ORPHANS)
    environment = os.environ | {"PYTHONPATH": os.getcwd()}
    killed = subprocess.Popen(
        [sys.executable, tmp_path / "orphans.py"], stdout=subprocess.PIPE, env=environment
    )
    workers = [int(pid) for pid in killed.stdout.readline().split()]
    assert len(workers) == 2
    killed.wait(60)
    until = time.monotonic() + 30
    while any(map(_is_alive, workers)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not any(map(_is_alive, workers))


def _is_alive(pid: int) -> bool:
    try:
        state = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_a_state_is_json_whatever_integers_it_was_given():
    batching = dataclasses.replace(SMALL, batch_size=np.int64(6))
    state = train_stream(Pictures(8), batching, seed=np.int64(3)).get_state()
    assert json.loads(json.dumps(state)) == state


def test_a_damaged_image_stops_the_stream_by_its_key():
    stream = train_stream(Pictures(8, damaged=(3,)), SMALL, seed=0)
    with pytest.raises(DamagedImageError, match=r"image 'picture-3\.png' cannot be decoded"):
        take(stream, 2)


def test_a_label_that_is_no_class_stops_the_stream_by_its_key():
    two_classes = dataclasses.replace(SMALL, num_classes=2)
    message = r"picture-\d+\.png has label 2; accepted: whole numbers from 0 to 1"
    with pytest.raises(ValueError, match=message):
        take(train_stream(Pictures(8), two_classes, seed=0), 2)
    with pytest.raises(ValueError, match="secret has label -1; accepted: whole numbers from 0"):
        next(eval_stream([Record(Pictures(1)[0].image, -1, "secret")], two_classes))


def test_a_damaged_image_is_masked_and_counted_if_asked():
    lenient = Batching(batch_size=4, resize=12, crop=8, damaged="skip")
    stream = eval_stream(Pictures(10, damaged=(3, 8)), lenient)
    batches = list(stream)
    masked = np.concatenate([b["index"][~b["where"]] for b in batches])
    assert masked.tolist() == [3, 8, -1, -1]
    labels = np.concatenate([b["labels"] for b in batches])
    np.testing.assert_array_equal(labels[:10], np.arange(10) % 3)
    assert not batches[0]["inputs"][3].any()
    assert stream.skipped == 2
    resumed = eval_stream(Pictures(10, damaged=(3, 8)), lenient)
    resumed.set_state(stream.get_state())
    assert resumed.skipped == 2


def test_a_state_of_another_stream_is_refused():
    state = train_stream(Pictures(10), SMALL, seed=0).get_state()
    with pytest.raises(ValueError, match="seed: 0 in it, 1 in this one"):
        train_stream(Pictures(10), SMALL, seed=1).set_state(state)
    with pytest.raises(ValueError, match=r"kind.*size: 10 in it, 11 in this one"):
        eval_stream(Pictures(11), SMALL).set_state(state)
    smaller = dataclasses.replace(SMALL, crop=7)
    for make in (functools.partial(train_stream, seed=0), eval_stream):
        with pytest.raises(ValueError, match="crop: 8 in it, 7 in this one"):
            make(Pictures(10), smaller).set_state(make(Pictures(10), SMALL).get_state())
    del state["order"]
    with pytest.raises(ValueError, match=r"order: None in it, 'dm_jax\.draws' in this one"):
        train_stream(Pictures(10), SMALL, seed=0).set_state(state)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 250, "process_count": 8}, "250 does not divide over 8 processes"),
        ({"batch_size": 0}, "batch_size must be at least 1, got 0"),
        ({"batch_size": 8, "process_index": 2, "process_count": 2}, "2 of 2"),
        ({"batch_size": 8, "resize": 200}, "crop must be in 1 .. 200"),
        ({"batch_size": 8, "num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"batch_size": 8, "damaged": "ignore"}, "'ignore'"),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        Batching(**settings)


def test_batches_of_one():
    batches = train_stream(Pictures(3), dataclasses.replace(SMALL, batch_size=1), seed=0)
    assert sorted(int(next(batches)["index"][0]) for _ in range(3)) == [0, 1, 2]


@pytest.mark.parametrize("settings", [{"batch_size": 2.5}, {"batch_size": True}, {"crop": "8"}])
def test_settings_that_are_no_integers(settings):
    with pytest.raises(TypeError, match="must be an integer, got"):
        dataclasses.replace(SMALL, **settings)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"seed": -1}, ValueError, "seed must be at least 0, got -1"),
        ({"seed": 1.5}, TypeError, r"seed must be an integer, got 1\.5"),
        ({"seed": None}, TypeError, "seed must be an integer, got None"),
        ({"seed": 0, "workers": -1}, ValueError, "workers must be at least 0, got -1"),
        ({"seed": 0, "source": Pictures(0)}, ValueError, "source must have at least one image"),
    ],
)
def test_arguments_of_a_stream_are_checked(arguments, error, words):
    with pytest.raises(error, match=words):
        train_stream(arguments.pop("source", Pictures(3)), SMALL, **arguments)


def test_positions_are_checked():
    stream = eval_stream(Pictures(11), SMALL)
    with pytest.raises(ValueError, match="number must be at least 0, got -1"):
        stream.seek(-1)
    state = stream.get_state()
    del state["skipped"]
    with pytest.raises(ValueError, match=r"different stream \(no skipped"):
        stream.set_state(state)


def test_small_sets_are_shuffled_uniformly():
    """Each image is first in about a tenth of the epochs, and no epoch is the order of the file."""
    batching = dataclasses.replace(SMALL, batch_size=10)
    stream = train_stream(Pictures(10), batching, seed=1)
    epochs = np.stack([next(stream)["index"] for _ in range(300)])
    np.testing.assert_array_equal(np.sort(epochs), np.tile(np.arange(10), (300, 1)))
    assert not (epochs == np.arange(10)).all(axis=1).any()
    for place in range(10):
        assert stats.chisquare(np.bincount(epochs[:, place], minlength=10)).pvalue > 1e-4
