"""metrics.jsonl: whole lines, none twice."""

import contextlib
import json
import math
import struct
import time

import pytest
from tensorboardX.proto import event_pb2

from dm_jax.train.writers import MetricsFile, TensorBoard, read_metrics
from tests.train import tiny


def _write(path, steps, **options):
    file = MetricsFile(path, **options)
    for step in steps:
        file.write(step, {"loss": step / 8})
    file.close()


def _steps(path):
    return [row["step"] for row in read_metrics(path)]


def test_a_file_that_is_not_there_has_no_rows(tmp_path):
    assert list(read_metrics(tmp_path / "none")) == []


def test_a_resumed_run_drops_what_will_come_again(tmp_path):
    path = tmp_path / "metrics.jsonl"
    _write(path, [10, 20, 20, 30])
    _write(path, [30, 40], resume_step=20)
    assert _steps(path) == [10, 20, 20, 30, 40]


def test_a_torn_last_line_is_no_row(tmp_path):
    path = tmp_path / "metrics.jsonl"
    _write(path, [10, 20])
    path.write_text(path.read_text() + '{"step": 30, "lo')
    assert _steps(path) == [10, 20]
    _write(path, [30], resume_step=20)
    assert _steps(path) == [10, 20, 30]


@pytest.mark.parametrize("line", ["\0\0\n", '{"loss": 1}\n', "[]\n"])
def test_a_damaged_line_is_named(tmp_path, line):
    path = tmp_path / "metrics.jsonl"
    _write(path, [10])
    path.write_text(path.read_text() + line)
    with pytest.raises(ValueError, match=r"metrics\.jsonl: line 2 is damaged"):
        _steps(path)


def test_what_json_lacks_is_null(tmp_path):
    path = tmp_path / "metrics.jsonl"
    file = MetricsFile(path)
    file.write(1, {"a": math.nan, "b": math.inf, "c": 0.1})
    file.close()
    assert json.loads(path.read_text()) == {"step": 1, "a": None, "b": None, "c": 0.1}


def test_a_full_disk_is_named_and_earlier_rows_stay(tmp_path):
    path = tmp_path / "metrics.jsonl"
    _write(path, [10])
    file = MetricsFile(path, resume_step=10)
    with (
        tiny.file_size_limit(path.stat().st_size + 5),
        pytest.raises(OSError, match=r"metrics\.jsonl cannot be written"),
    ):
        file.write(20, {"loss": 0.5})
    file.close()
    assert _steps(path) == [10]


def test_tensorboard_gets_an_event_a_value(tmp_path):
    board = TensorBoard(tmp_path)
    board.write(3, {"loss": 0.5, "nothing": math.nan})
    board.close()
    (events,) = tmp_path.iterdir()
    assert b"loss" in events.read_bytes()
    assert b"nothing" not in events.read_bytes()


def test_a_full_disk_does_not_block_tensorboard(tmp_path):
    board = TensorBoard(tmp_path)
    many = {f"loss of member {i}": 0.5 for i in range(100)}
    with tiny.file_size_limit(200), pytest.raises(OSError, match=r"cannot be written: .*too large"):
        board.write(1, many)


def test_starts_within_one_second_keep_their_events(tmp_path, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 1e9)
    for step in (10, 20, 30):
        with contextlib.closing(TensorBoard(tmp_path, resume_step=step - 10)) as board:
            board.write(step, {"loss": 1.0})
    assert len(list(tmp_path.iterdir())) == 3


def test_a_line_that_is_not_text_is_named(tmp_path):
    (tmp_path / "metrics.jsonl").write_bytes(b"\xff\xfe\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl: line 1 is damaged"):
        list(read_metrics(tmp_path / "metrics.jsonl"))


def test_a_file_that_was_emptied_is_told_of(tmp_path, caplog):
    MetricsFile(tmp_path / "metrics.jsonl", resume_step=20, log_every=50).close()
    assert not caplog.text
    MetricsFile(tmp_path / "metrics.jsonl", resume_step=20).close()
    assert "has no line up to step 20: curves begin there" in caplog.text


@pytest.mark.parametrize("resume_step", [40, 0])
def test_a_resumed_run_hides_the_events_that_come_again(tmp_path, resume_step):
    (tmp_path / "events.before").touch()
    board = TensorBoard(tmp_path, resume_step=resume_step)
    board.write(41, {"loss": 0.5})
    board.close()
    (path,) = tmp_path.glob("*tfevents*")
    version, restart, loss = _events(path.read_bytes())
    assert version.file_version == "brain.Event:2"
    assert restart.step == resume_step + 1
    assert restart.session_log.status == restart.session_log.START
    assert (loss.step, loss.summary.value[0].simple_value) == (41, 0.5)


def _events(records: bytes) -> list:
    """The events of a TFRecord file: length, its checksum, the event, its checksum."""
    events = []
    while records:
        (length,) = struct.unpack("<Q", records[:8])
        events.append(event_pb2.Event.FromString(records[12 : 12 + length]))
        records = records[16 + length :]
    return events
