"""A run that is killed, or asked to stop, ends bit for bit where one that never stopped does."""

import json
import multiprocessing
import random
import signal
import time

import jax
import numpy as np
import pytest

from configs import digits
from dm_jax import train
from dm_jax.train import build
from dm_jax.train.checkpoints import Checkpoints

# Children are forked from a server that has imported everything but not yet touched a device.
_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["dm_jax.train", "sklearn.datasets", "tensorboardX"])


def _config(steps: int):
    """Draws, momentum, a moving EDF, windows and epochs that checkpoints cut in two."""
    values = digits.get_config()
    values.data.augment = "crop_flip"
    values.model.dropout = 0.2
    values.loss.schedule = {"beta": 2.0}
    values.loss.schedule_length = f"{steps} steps"
    values.data.validation = 0.2
    values.train.length = f"{steps} steps"
    values.train.log_every = "20 steps"
    values.train.evaluate_every = "50 steps"
    values.train.checkpoint_every = "5 steps"
    values.parallel.devices = 1
    return train.Config.parse(values)


def _run(config, workdir, cache):
    jax.config.update("jax_compilation_cache_dir", str(cache))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    train.run(config, workdir, progress=train.NoProgress())


@pytest.fixture
def start(tmp_path):
    """Starts `train.run` in a process of its own; all share one folder of compiled programs."""

    def begin(config, workdir):
        process = _FORKS.Process(target=_run, args=(config, workdir, tmp_path / "cache"))
        process.start()
        return process

    return begin


def _ended(config, workdir):
    """(rows, arrays) that a run has left."""
    built = build.experiment(config)
    state = built.create_state(built.config.seed)
    checkpoints = Checkpoints(workdir / "checkpoints", keep=2)
    restored = checkpoints._manager.restore(checkpoints.latest)
    checkpoints.close()
    assert int(restored["tree"][0]["step"]) == built.plan.total_steps
    leaves = jax.tree.leaves(restored["tree"])
    assert len(leaves) > len(jax.tree.leaves(state))
    return (workdir / "metrics.jsonl").read_text(), [np.asarray(leaf) for leaf in leaves]


def _assert_same_end(config, expected, found):
    rows, arrays = _ended(config, expected)
    found_rows, found_arrays = _ended(config, found)
    assert found_rows == rows
    for array, found_array in zip(arrays, found_arrays, strict=True):
        assert array.tobytes() == found_array.tobytes()


def _wait_until(condition, process, seconds: float = 120.0) -> bool:
    """Whether the condition came true before the process ended."""
    end = time.monotonic() + seconds
    while process.is_alive() and time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.002)
    return False


def _newest(workdir) -> int:
    steps = [int(path.name) for path in workdir.glob("checkpoints/*") if path.name.isdigit()]
    return max(steps, default=0)


def _being_written(workdir) -> bool:
    return any(workdir.glob("checkpoints/*tmp*"))


@pytest.mark.long
def test_killed_at_random_moments(start, tmp_path):
    config, workdir, draw = _config(400), tmp_path / "killed", random.Random(0)
    start(config, tmp_path / "whole").join()
    while_writing = 0
    for kill in range(12):
        process, begun = start(config, workdir), _newest(workdir)
        assert _wait_until(lambda begun=begun: _newest(workdir) > begun, process)
        if kill % 2:
            assert _wait_until(lambda: _being_written(workdir), process)
        else:
            time.sleep(0.2 * draw.random())
        process.kill()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        while_writing += _being_written(workdir)
    assert while_writing >= 3
    process = start(config, workdir)
    process.join()
    assert process.exitcode == 0
    _assert_same_end(config, tmp_path / "whole", workdir)


@pytest.mark.long
def test_asked_to_stop(start, tmp_path):
    config = _config(200)
    start(config, tmp_path / "whole").join()
    workdir = tmp_path / "stopped"
    process = start(config, workdir)
    assert _wait_until(lambda: _newest(workdir) >= 20, process)
    asked = time.monotonic()
    process.terminate()
    process.join(20)
    assert process.exitcode == 0
    assert time.monotonic() - asked < 20
    stopped = _newest(workdir)
    assert 20 <= stopped < 200
    assert all(row["step"] <= stopped for row in _rows(workdir))
    start(config, workdir).join()
    _assert_same_end(config, tmp_path / "whole", workdir)


def _rows(workdir):
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_at_the_start_stops_after_the_first_block(tmp_path, number):
    class Hasty(train.NoProgress):
        """Asks to stop as soon as training begins."""

        def start(self, total, step):
            signal.raise_signal(number)

    before = signal.getsignal(number)
    summary = train.run(_config(100), tmp_path, progress=Hasty())
    assert not summary.finished
    assert summary.step == 5
    assert signal.getsignal(number) is before
    assert _newest(tmp_path) == 5
