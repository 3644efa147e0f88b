"""Two real processes of four simulated devices each get the numbers of one process."""

import json

import pytest

from tests.train import hosts

pytestmark = pytest.mark.long

_DIGITS = "configs/digits.py:lam=0.5,beta=20"
_CHANGES = {
    "train.length": "30 steps",
    "train.log_every": "10 steps",
    "train.evaluate_every": "15 steps",
    "train.checkpoint_every": "20 steps",
    "model.dropout": "0.2",
    "data.augment": "crop_flip",
    "data.last_batch": "mask",
    "data.validation": "0.2",
}


def _rows(workdir) -> list[dict]:
    return [json.loads(line) for line in (workdir / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_two_processes_get_the_numbers_of_one(mode, tmp_path):
    changes = _CHANGES | {"parallel.mode": mode}
    alone = hosts.start(tmp_path / "one", 8, _DIGITS, changes)
    outputs = hosts.finish([alone, *hosts.start_both(tmp_path / "two", _DIGITS, changes)])
    expected, found = _rows(tmp_path / "one"), _rows(tmp_path / "two")
    assert [row["step"] for row in found] == [row["step"] for row in expected]
    for row, expected_row in zip(found, expected, strict=True):
        assert row == pytest.approx(expected_row, rel=1e-5, abs=1e-6)
    kept, of_one = (
        {path.name for path in (tmp_path / name / "checkpoints").iterdir()}
        for name in ("two", "one")
    )
    assert kept == of_one >= {"20", "30"}
    # The second process is silent and writes nothing of its own.
    assert "test accuracy" in outputs[1]
    assert "step" not in outputs[2]
    assert len(list((tmp_path / "two" / "tensorboard").iterdir())) == 1


def test_a_stop_of_one_process_stops_both_and_they_go_on(tmp_path):
    """Only the second is told; they agree where the first next writes, and resume as one."""
    changes = _CHANGES | {"train.length": "100000 steps", "train.log_every": "100 steps"}
    changes |= {"train.evaluate_every": "1000 steps"}
    processes = hosts.start_both(tmp_path, _DIGITS, changes)
    for line in processes[0].stdout:
        if line.startswith("step 100:"):
            processes[1].terminate()
            break
    outputs = hosts.finish(processes)
    assert "the same command resumes there" in outputs[0]
    stopped = _rows(tmp_path)[-1]["step"]
    assert (tmp_path / "checkpoints" / str(stopped)).exists()
    again = hosts.start_both(tmp_path, _DIGITS, changes)
    assert f"resuming at step {stopped} of 100000" in _first_line(again[0])
    for process in again:
        process.terminate()
    hosts.finish(again)


def test_processes_that_were_not_started_with_the_same_do_not_train(tmp_path):
    processes = hosts.start_both(tmp_path, _DIGITS, _CHANGES, of_second={"loss.beta": 4.0})
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], outputs
    assert "another host was not started with the same as the first" in outputs[0]
    assert "(first -> this): config.loss.beta: 20.0 -> 4.0" in outputs[1]
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("every", [20, 30], ids=["the first checkpoint", "the last one"])
def test_a_full_disk_ends_both(every, tmp_path):
    """A limit on the size of files stands for the disk; only the first process writes."""
    changes = _CHANGES | {"train.checkpoint_every": f"{every} steps"}
    processes = hosts.start_both(tmp_path, _DIGITS, changes, largest_file=20_000)
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [1, 1], outputs
    assert "could not be written to" in outputs[0]
    assert "the first host could not write a checkpoint" in outputs[1]


def test_a_damaged_checkpoint_is_left_by_both(tmp_path):
    """Whichever of them is first to see the damage, which the first host moves away."""
    hosts.finish(hosts.start_both(tmp_path, _DIGITS, _CHANGES))
    meta = tmp_path / "checkpoints" / "30" / "meta" / "metadata"
    meta.write_text(meta.read_text()[:-20])
    outputs = hosts.finish(hosts.start_both(tmp_path, _DIGITS, _CHANGES))
    assert all("falling back to checkpoint 20" in output for output in outputs)
    assert _rows(tmp_path)[-1]["step"] == 30


def _first_line(process) -> str:
    """The first line that is not of Gloo, the transport."""
    return next(line for line in process.stdout if not line.startswith("[Gloo]"))
