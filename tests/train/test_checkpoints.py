"""Checkpoints are whole, verified, and never harmed by what goes wrong after them."""

import logging
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from dm_jax.train import build
from dm_jax.train.checkpoints import Checkpoints
from tests.train import tiny


def _tree(step: int):
    return {"w": np.full((50, 40), step, np.float32), "key": jax.random.key(step)}


@pytest.fixture
def checkpoints(tmp_path):
    """Those of steps 10, 20 and 30, of which the last two are kept."""
    made = Checkpoints(tmp_path, keep=2)
    for step in (10, 20, 30):
        made.save(step, _tree(step))
    made.wait()
    yield made
    made.close()


def _files(checkpoints, step: int) -> list[pathlib.Path]:
    folder = checkpoints._directory / str(step)
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=_size)


def _size(path: pathlib.Path) -> int:
    return path.stat().st_size


def test_the_last_ones_are_kept(checkpoints, tmp_path):
    assert sorted(path.name for path in tmp_path.iterdir()) == ["20", "30"]
    step, tree, _ = checkpoints.restore(_tree(0))
    assert step == 30
    np.testing.assert_array_equal(tree["w"], _tree(30)["w"])
    assert (jax.random.key_data(tree["key"]) == jax.random.key_data(_tree(30)["key"])).all()


def test_the_best_score_is_known_to_who_resumes(tmp_path):
    made = Checkpoints(tmp_path, keep=1)
    assert made.best_score == -np.inf
    for step, score in ((10, 0.25), (20, 0.75), (30, 0.5), (40, None)):
        made.save(step, _tree(step), score=score)
    made.close()
    resumed = Checkpoints(tmp_path, keep=1)
    unfinished = tmp_path / "50.orbax-checkpoint-tmp" / "metrics"
    unfinished.mkdir(parents=True)
    (unfinished / "metrics").write_text('{"score": 0.')
    assert resumed.best_score == 0.75
    resumed.close()


def test_nothing_to_restore(tmp_path):
    made = Checkpoints(tmp_path, keep=2)
    assert made.latest is None
    assert made.restore(_tree(0)) is None
    made.close()


def _truncate(files):
    files[-1].write_bytes(files[-1].read_bytes()[: _size(files[-1]) // 2])


def _flip_a_byte(files):
    content = bytearray(files[-1].read_bytes())
    content[len(content) // 2] ^= 0x40
    files[-1].write_bytes(content)


def _remove_the_data(files):
    for path in files:
        if path.parent.name == "d":
            path.unlink()


def _empty_every_file(files):
    for path in files:
        path.write_bytes(b"")


def _flip_a_byte_of_the_description(files):
    (path,) = (path for path in files if path.parts[-2:] == ("meta", "metadata"))
    path.write_bytes(path.read_bytes().replace(b"float32[", b"float32Z", 1))


@pytest.mark.parametrize(
    "harm",
    [
        _truncate,
        _flip_a_byte,
        _flip_a_byte_of_the_description,
        _remove_the_data,
        _empty_every_file,
    ],
)
def test_a_damaged_checkpoint_is_passed_over_with_a_warning(checkpoints, harm, caplog):
    harm(_files(checkpoints, 30))
    with caplog.at_level(logging.WARNING, "dm_jax"):
        step, tree, _ = checkpoints.restore(_tree(0))
    assert step == 20
    np.testing.assert_array_equal(tree["w"], _tree(20)["w"])
    assert "checkpoint 30" in caplog.text
    assert "falling back to checkpoint 20" in caplog.text
    assert list((checkpoints._directory / "damaged").glob("30-*"))
    checkpoints.save(30, _tree(31))
    checkpoints.wait()
    assert checkpoints.restore(_tree(0)).tree["w"][0, 0] == 31


def test_all_damaged_means_the_start(checkpoints, caplog):
    for step in (20, 30):
        _truncate(_files(checkpoints, step))
    with caplog.at_level(logging.WARNING, "dm_jax"):
        assert checkpoints.restore(_tree(0)) is None
    assert "falling back to the start" in caplog.text


@pytest.mark.parametrize("content", ["", "{}", "[1]", '{"score": null}'])
def test_a_damaged_score_is_a_damaged_checkpoint(tmp_path, caplog, content):
    made = Checkpoints(tmp_path, keep=2)
    for step in (10, 20):
        made.save(step, _tree(step), score=step)
    made.close()
    (tmp_path / "10" / "metrics" / "metrics").write_text(content)
    unfinished = tmp_path / "30.orbax-checkpoint-tmp" / "metrics"
    unfinished.mkdir(parents=True)
    (unfinished / "metrics").write_text("")
    with caplog.at_level(logging.WARNING, "dm_jax"):
        made = Checkpoints(tmp_path, keep=2)
    assert made.restore(_tree(0)).step == 20
    made.close()
    assert "checkpoint 10" in caplog.text
    assert [path.name[:3] for path in (tmp_path / "damaged").iterdir()] == ["10-"]


@pytest.mark.parametrize("error", [MemoryError(), OSError("Input/output error")])
def test_what_the_machine_cannot_read_is_left_alone(checkpoints, error, monkeypatch):
    def fail(*_):
        raise error

    monkeypatch.setattr(checkpoints, "_read_arrays", fail)
    with pytest.raises(type(error)):
        checkpoints.restore(_tree(0))
    assert checkpoints.latest == 30
    assert not (checkpoints._directory / "damaged").exists()


def test_a_checkpoint_of_another_network_is_refused_and_left_alone(checkpoints):
    other = {"w": np.zeros((50, 41), np.float32), "key": jax.random.key(0)}
    message = r"checkpoint 30 .* \['w'\]: 'float32\[50, 40\]' -> 'float32\[50, 41\]'"
    with pytest.raises(ValueError, match=message):
        checkpoints.restore(other)
    assert checkpoints.latest == 30


def test_nodes_without_arrays_may_come_and_go(tmp_path):
    """As in an optimiser to which weight decay is added."""
    weights = {"fc/2": jnp.ones(3), "fc": {"2": jnp.zeros(2)}}
    before = optax.chain(optax.trace(0.9)).init(weights)
    after = optax.chain(optax.trace(0.9), optax.add_decayed_weights(1e-4)).init(weights)
    made = Checkpoints(tmp_path, keep=1)
    made.save(1, (before, jnp.int32(7)))
    made.wait()
    restored, number = made.restore((after, 0)).tree
    assert jax.tree.structure(restored) == jax.tree.structure(after)
    np.testing.assert_array_equal(restored[0].trace["fc/2"], np.zeros(3))
    assert number == 7
    made.close()


def test_what_is_saved_may_be_overwritten_at_once(tmp_path):
    """The next step takes the buffers; on the CPU NumPy arrays would share them."""
    made = Checkpoints(tmp_path, keep=2)
    array = jnp.arange(1000.0)
    made.save(1, {"w": array})
    jax.jit(lambda x: x + 1, donate_argnums=0)(array).block_until_ready()
    made.wait()
    np.testing.assert_array_equal(
        made.restore({"w": np.zeros(1000, np.float32)}).tree["w"][:3], [0, 1, 2]
    )
    made.close()


def test_a_full_disk_harms_no_earlier_checkpoint(checkpoints):
    """A limit on the size of files stands for the disk."""
    large = _tree(0) | {"w": np.random.default_rng(0).random((500, 400), np.float32)}
    message = r"could not be written to .*: File too large\. The newest intact .* step 30"
    with tiny.file_size_limit(100_000), pytest.raises(OSError, match=message):
        _save_and_wait(checkpoints, 40, large)
    again = Checkpoints(checkpoints._directory, keep=2)
    assert again.restore(_tree(0)).step == 30
    again.close()


def test_a_full_disk_names_the_only_checkpoint(tmp_path):
    only = Checkpoints(tmp_path, keep=1)
    _save_and_wait(only, 10, _tree(0))
    large = _tree(0) | {"w": np.random.default_rng(0).random((500, 400), np.float32)}
    with tiny.file_size_limit(100_000), pytest.raises(OSError, match=r"newest intact .* step 10"):
        _save_and_wait(only, 20, large)


def _save_and_wait(checkpoints, step, tree):
    checkpoints.save(step, tree)
    checkpoints.wait()


@pytest.mark.parametrize(("mode", "devices"), [("jit", 8), ("pmap", 2)])
def test_a_run_goes_on_with_other_devices_or_another_mode(mode, devices, tmp_path):
    with jax.enable_x64(True):
        built = build.experiment(
            tiny.config(model__dtype="float64", model__dropout=0.2, train__log_every="10 steps")
        )
        expected, _ = tiny.train(tiny.engine(built))
        halfway, totals = tiny.train(tiny.engine(built), end=10)
        made = Checkpoints(tmp_path, keep=1)
        made.save(10, (halfway, totals))
        made.wait()
        other = tiny.engine(built, mode, devices)
        step, (state, _), _ = made.restore((built.create_state(1), totals))
        state, _ = tiny.train(other, state, begin=step)
        assert tiny.distance(expected.params, state.params) < 1e-9
        made.close()


def test_the_best_survives_a_restart(tmp_path):
    """Scores are on disk: who goes on does not take a later checkpoint for the best."""
    tree = {"w": np.zeros(3, np.float32)}
    for steps in (((1, 0.5), (2, 0.9)), ((3, 0.7), (4, None))):
        made = Checkpoints(tmp_path, keep=1)
        for step, score in steps:
            made.save(step, tree, score=score)
        made.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2", "4"]
