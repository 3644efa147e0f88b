"""Two real processes of four simulated devices each get the numbers of one process."""

import json
import os
import socket
import subprocess
import sys

import pytest

pytestmark = pytest.mark.long

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
_COMMAND = [sys.executable, "-m", "experiments.train", "--config=configs/digits.py"]
_CONFIG = {
    "train.length": "30 steps",
    "train.log_every": "10 steps",
    "train.evaluate_every": "15 steps",
    "train.checkpoint_every": "20 steps",
    "model.dropout": "0.2",
    "data.augment": "crop_flip",
    "data.last_batch": "mask",
}


def _start(workdir, devices: int, **changes) -> subprocess.Popen:
    flags = _CONFIG | {name.replace("__", "."): value for name, value in changes.items()}
    return subprocess.Popen(
        [*_COMMAND, f"--workdir={workdir}", *(f"--config.{k}={v}" for k, v in flags.items())],
        env=os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=_ROOT,
    )


def _start_both(workdir, **changes) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    together = {"parallel__distributed": "true", "parallel__coordinator": address}
    return [
        _start(workdir, 4, parallel__processes=2, parallel__process=i, **together, **changes)
        for i in range(2)
    ]


def _finish(processes) -> list[str]:
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs


def _rows(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_two_processes_get_the_numbers_of_one(mode, tmp_path):
    alone = _start(tmp_path / "one", 8, parallel__mode=mode)
    outputs = _finish([alone, *_start_both(tmp_path / "two", parallel__mode=mode)])
    expected, found = _rows(tmp_path / "one"), _rows(tmp_path / "two")
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for row, expected_row in zip(found, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5, abs=1e-6)
    # The second process is silent and writes nothing of its own.
    assert "test accuracy" in outputs[1]
    assert "step" not in outputs[2]
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1


def test_a_stop_of_one_process_stops_both_and_they_go_on(tmp_path):
    """Only the second is told; they agree where the first next writes, and resume as one."""
    length = {"train__length": "100000 steps", "train__log_every": "100 steps"}
    length |= {"train__evaluate_every": "1000 steps"}
    processes = _start_both(tmp_path, **length)
    for line in processes[0].stdout:
        if line.startswith("step 100:"):
            processes[1].terminate()
            break
    outputs = _finish(processes)
    assert "the same command goes on there" in outputs[0]
    stopped = _rows(tmp_path)[-1]["step"]
    assert (tmp_path / "checkpoints" / str(stopped)).exists()
    again = _start_both(tmp_path, **length)
    assert f"going on from step {stopped} of 100000" in _first_line(again[0])
    for process in again:
        process.terminate()
    _finish(again)


def _first_line(process) -> str:
    """The first line that is not of Gloo, the transport."""
    return next(line for line in process.stdout if not line.startswith("[Gloo]"))
