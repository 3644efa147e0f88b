"""results.jsonl: what is written is read back; what goes wrong is found, and loses nothing."""

import dataclasses
import json
import math
import multiprocessing

import numpy as np
import pytest

from experiments.tables import results_file
from experiments.tables.result import Result, hash_config

CONFIG = {"seed": 7, "loss": {"beta": -0.33}, "train": {"steps": 10000}}


def a_result(**changed):
    fields = {
        "table": "5",
        "row": "DM",
        "column": "noise_0.4",
        "seed": 1,
        "final": 86.25,
        "best": 86.5,
        "metrics": {"train_intact": 90.5},
        "curves": {"steps": [1, 2], "test_accuracy": [50.0, 86.25]},
        "config": CONFIG,
        "config_hash": hash_config(CONFIG),
    }
    return Result(**(fields | changed))


def test_results_are_read_back_in_order(tmp_path):
    path = tmp_path / "new" / "results.jsonl"
    written = [a_result(seed=seed) for seed in range(3)]
    for result in written:
        results_file.append(path, result)
    assert results_file.read(path) == written
    assert len(path.read_text().splitlines()) == 3


def test_numpy_values_are_written_as_plain_ones(tmp_path):
    result = a_result(
        seed=np.int64(3),
        final=np.float32(12.5),
        metrics={"train_intact": np.float32(0.5)},
        curves={"steps": np.arange(2).tolist(), "p_clean": [np.float32(0.25), 0.5]},
    )
    results_file.append(tmp_path / "r.jsonl", result)
    (read,) = results_file.read(tmp_path / "r.jsonl")
    assert (read.seed, read.final, read.metrics) == (3, 12.5, {"train_intact": 0.5})
    assert read.curves["p_clean"] == [0.25, 0.5]


def test_a_config_that_is_not_finite_is_recorded_as_text(tmp_path):
    config = {"loss": {"beta": math.inf, "knees": [0.5, math.nan]}}
    failed = a_result(status="failed", error="beta must be finite", config=config)
    results_file.append(tmp_path / "r.jsonl", failed)
    (read,) = results_file.read(tmp_path / "r.jsonl")
    assert read.config == {"loss": {"beta": "inf", "knees": [0.5, "nan"]}}


def test_a_config_is_the_same_however_its_numbers_are_written():
    done = a_result(config={"cap": 1}, config_hash=hash_config({"cap": 1}))
    assert results_file.completed([done], {done.key: {"cap": 1.0}}) == {done.key: done}


def test_nan_goes_through_strict_json(tmp_path):
    path = tmp_path / "r.jsonl"
    failed = a_result(status="failed", error="loss is nan at step 7", final=math.nan, best=math.nan)
    results_file.append(path, failed)
    results_file.append(path, a_result(curves={"steps": [1], "p_noisy": [math.nan]}))
    json.loads(path.read_text().splitlines()[0], parse_constant=pytest.fail)
    first, second = results_file.read(path)
    assert math.isnan(first.final)
    assert first.error == "loss is nan at step 7"
    assert math.isnan(second.curves["p_noisy"][0])


def test_a_torn_last_line_is_left_out_then_cut_off(tmp_path):
    path = tmp_path / "r.jsonl"
    results_file.append(path, a_result(seed=0))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:40])
    with pytest.warns(UserWarning, match=r"r\.jsonl:2: torn last line left out \(40 bytes\)"):
        assert results_file.read(path) == [a_result(seed=0)]
    results_file.append(path, a_result(seed=1))
    assert [result.seed for result in results_file.read(path)] == [0, 1]


def test_a_line_that_lacks_only_its_end_is_kept(tmp_path):
    path = tmp_path / "r.jsonl"
    results_file.append(path, a_result(seed=0))
    path.write_bytes(path.read_bytes()[:-1])
    assert results_file.read(path) == [a_result(seed=0)]
    results_file.append(path, a_result(seed=1))
    assert [result.seed for result in results_file.read(path)] == [0, 1]


def test_every_prefix_of_a_file_can_be_read_and_appended_to(tmp_path):
    path = tmp_path / "r.jsonl"
    for seed in (0, 1):
        results_file.append(path, a_result(seed=seed))
    content = path.read_bytes()
    first = content.index(b"\n")
    for size in range(0, len(content), 7):
        path.write_bytes(content[:size])
        results_file.append(path, a_result(seed=2))
        seeds = [result.seed for result in results_file.read(path)]
        assert seeds == ([0, 2] if size >= first else [2])


def append_some(path, seed):
    for table in "12345":
        results_file.append(path, a_result(table=table, seed=seed))


@pytest.mark.long
def test_processes_may_append_at_once(tmp_path):
    path = tmp_path / "r.jsonl"
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=append_some, args=(path, seed)) for seed in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len({result.key for result in results_file.read(path)}) == 20


def test_another_schema_version_is_named(tmp_path):
    path = tmp_path / "r.jsonl"
    results_file.append(path, a_result())
    results_file.append(path, a_result(seed=2))
    lines = path.read_text().splitlines()
    lines[1] = lines[1].replace('"schema": 1', '"schema": 7')
    path.write_text("\n".join([*lines, ""]))
    with pytest.raises(ValueError, match=r"r\.jsonl:2: .*version 7, but .* version 1"):
        results_file.read(path)


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (lambda line: "nonsense", "r.jsonl:1: not a line of JSON"),
        (lambda line: "[" * 200_000, "r.jsonl:1: not a line of JSON"),
        (lambda line: "[1, 2]", "r.jsonl:1: not a result of experiments.reproduce"),
        (lambda line: line.replace('"seed": 1, ', ""), "fields missing or unknown: seed"),
        (lambda line: line.replace('"seed": 1', '"seed": "1"'), "seed must be int, got str '1'"),
        (lambda line: line.replace("86.25, ", "186.25, ", 1), "final must be a percentage"),
    ],
)
def test_a_wrong_line_in_the_middle_is_named(tmp_path, edit, message):
    path = tmp_path / "r.jsonl"
    results_file.append(path, a_result())
    line = path.read_text().strip()
    path.write_text(f"{edit(line)}\n{line}\n")
    with pytest.raises(ValueError, match=message.replace(".", r"\.")):
        results_file.read(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": True}, "seed must be int, got bool True"),
        ({"row": 3}, "row must be str, got int 3"),
        ({"metrics": [1]}, r"metrics must be dict, got list \[1\]"),
        ({"metrics": {"mAP": "high"}}, r"metrics\['mAP'\] must be float, got str 'high'"),
        ({"final": math.nan}, "final must be a percentage in .0, 100., got nan"),
        ({"best": -1.0}, "best must be a percentage"),
        ({"status": "done"}, "status must be one of ok, failed, got 'done'"),
        ({"status": "failed"}, "error must be given exactly if"),
        ({"scale": 0.0}, "scale must be above 0"),
        ({"curves": {"steps": [1, 2], "p_clean": [0.5]}}, "as long as the curve 'steps'"),
        ({"curves": {"steps": ["1"]}}, r"curves\['steps'\] must be float, got str '1'"),
        ({"curves": {"p_clean": [0.5]}}, "as long as the curve 'steps'"),
    ],
)
def test_a_wrong_result_is_not_written(tmp_path, changed, message):
    with pytest.raises(ValueError, match=message):
        results_file.append(tmp_path / "r.jsonl", a_result(**changed))
    assert not (tmp_path / "r.jsonl").exists()


def test_completed_finds_what_is_done_and_leaves_failures_to_run_again():
    done = a_result(seed=0)
    again = dataclasses.replace(done, final=80.0)
    failed = a_result(seed=1, status="failed", error="killed")
    wanted = {a_result(seed=seed).key: CONFIG for seed in range(3)}
    assert results_file.completed([done, again, failed], wanted) == {done.key: again}


def test_completed_refuses_results_of_another_config():
    other = CONFIG | {"seed": 8}
    with pytest.raises(ValueError, match=r"row 'DM', .* seed 1 of .* config.seed: 7 -> 8"):
        results_file.completed([a_result()], {a_result().key: other})
    assert results_file.completed([a_result()], {("5", "CCE", "noise_0.4", 1): other}) == {}


def test_hash_tells_configs_apart_and_knows_no_order():
    first = {"loss": {"beta": 2.0, "lam": 0.5}, "seed": 1}
    assert hash_config(first) == hash_config({"seed": 1, "loss": {"lam": 0.5, "beta": 2.0}})
    assert hash_config(first) != hash_config(first | {"seed": 2})


def test_a_line_from_before_the_data_were_recorded_is_read(tmp_path):
    path = tmp_path / "results.jsonl"
    results_file.append(path, a_result(data="abc"))
    line = json.loads(path.read_text())
    assert line.pop("data") == "abc"
    path.write_text(json.dumps(line) + "\n")
    assert results_file.read(path)[0].data == ""
