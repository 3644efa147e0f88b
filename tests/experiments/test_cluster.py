"""What a job does with its cell, and how it goes on when its time is up."""

import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from dm_jax import train
from dm_jax.train.stop_request import StopRequest
from experiments import commit
from experiments.tables import cluster, results_file, table_specs, tuning_file
from experiments.tables.cells import missing, of_table
from experiments.tables.outcome import StoppedError
from experiments.tables.result import Result
from experiments.tables.tuning_file import ParameterSearch


def cells():
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.01)
    return of_table(spec, [("CCE", "sym_0.2")], {}, seeds=[1, 2])


@pytest.mark.long
def test_every_job_appends_its_result(tmp_path):
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    wanted = cells()
    jobs = cluster.submit(wanted, tmp_path, minutes=5, cluster="local")
    assert [job.result() for job in jobs] == ["ok", "ok"]
    found = {result.key: result for result in results_file.read(tmp_path / "results.jsonl")}
    assert found.keys() == {cell.key for cell in wanted}
    assert not missing(tmp_path / "results.jsonl", wanted)


def test_a_job_does_not_add_a_seed_of_other_data(tmp_path):
    first, second = cells()
    earlier = {"config": first.recorded_config, "config_hash": first.config_hash, "data": "f" * 64}
    result = Result(table="digits", row="CCE", column="sym_0.2", seed=1, final=50.0, best=50.0)
    results_file.append(tmp_path / "results.jsonl", dataclasses.replace(result, **earlier))
    assert cluster.run_one(second, tmp_path, []) == "failed"
    _, failed = results_file.read(tmp_path / "results.jsonl")
    assert "CCE at sym_0.2 is of data of fingerprint ffffffffffff; use another" in failed.error


@pytest.mark.parametrize(("table", "status"), [("digits", "failed"), ("1", "ok")])
def test_a_job_compares_the_data_of_its_own_search(tmp_path, table, status):
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.01)
    pair, chosen = ("GCE", "sym_0.2"), {"q": 0.5}
    (cell,) = of_table(spec, [pair], {pair: chosen}, seeds=[1])
    found = ParameterSearch(table, *pair, chosen, [(chosen, 90.0)], [1], 0.01, data="f" * 64)
    tuning_file.add(tmp_path, "GCE", found)
    assert cluster.run_one(cell, tmp_path, []) == status


def test_a_job_does_not_add_a_seed_of_an_edited_scheme(tmp_path, monkeypatch):
    def edited(*_):
        raise ValueError("the scheme was edited")

    monkeypatch.setattr(cluster.same_data, "check_schemes", edited)
    assert cluster.run_one(cells()[0], tmp_path, []) == "failed"
    (failed,) = results_file.read(tmp_path / "results.jsonl")
    assert failed.error.startswith("ValueError: the scheme was edited (")  # the place in this file


def test_a_cell_that_another_process_trains_is_left_out(tmp_path, monkeypatch):
    taken = train.WorkdirInUseError("another process trains in it")
    monkeypatch.setattr(cluster.local, "run_all", lambda cells, *_: [(cells[0], taken)])
    assert cluster.run_one(cells()[0], tmp_path, []) == "left out"
    assert not (tmp_path / "results.jsonl").exists()


def test_a_result_has_the_command_that_submitted_its_job(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["submitit"])
    lost = [(cells()[0], ValueError("not run"))]
    monkeypatch.setattr(cluster.local, "run_all", lambda *_: lost)
    cluster.run_one(cells()[0], tmp_path, ["--table=digits"])
    (result,) = results_file.read(tmp_path / "results.jsonl")
    assert result.command.endswith(" --table=digits")


def test_a_job_trains_where_the_command_would_and_names_the_commit_of_its_start(
    tmp_path, monkeypatch
):
    now = ["start"]

    def trains(wanted, folder, _):
        assert folder == tmp_path / "runs"
        now[0] = "committed while it trained"
        return [(wanted[0], ValueError("not run"))]

    monkeypatch.setattr(cluster.local, "run_all", trains)
    monkeypatch.setattr(commit, "_git", lambda *_: now[0])
    commit.of_code.cache_clear()
    try:
        cluster.run_one(cells()[0], tmp_path, [])
    finally:
        commit.of_code.cache_clear()
    (result,) = results_file.read(tmp_path / "results.jsonl")
    assert result.commit == "start"


def test_a_search_of_another_protocol_did_not_choose_the_parameters_of_a_cell():
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.01)
    pair, chosen = ("GCE", "sym_0.2"), {"q": 0.5}
    (cell,) = of_table(spec, [pair], {pair: chosen}, seeds=[1])
    own = ParameterSearch("digits", *pair, chosen, [(chosen, 90.0)], [1], 0.01)
    assert cluster._follows(cell, own)
    for other in ({"scale": 1.0}, {"changes": "model=resnet20"}, {"chosen": {"q": 0.7}}):
        assert not cluster._follows(cell, dataclasses.replace(own, **other))


def test_without_submitit_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dm_jax\[slurm\]'"):
        cluster.submit(cells(), tmp_path, minutes=5)


@pytest.fixture
def submitit_signal():
    """Stands for submitit's handler of USR2 in a job; yields what it was called with."""
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    calls = []
    before = signal.signal(signal.SIGUSR2, lambda *arguments: calls.append(arguments))
    yield calls
    signal.signal(signal.SIGUSR2, before)


def test_a_job_is_queued_again_as_it_is(tmp_path, submitit_signal):
    cell, job = cells()[0], cluster._Job()
    again = job.checkpoint(cell, tmp_path, ["--table=digits"])
    assert (again.function, again.args) == (job, (cell, tmp_path, ["--table=digits"]))


def test_a_job_whose_time_is_up_stops_its_training_before_it_is_queued_again(
    tmp_path, monkeypatch, submitit_signal
):
    def trains(*_):
        with StopRequest() as stop_requested:
            signal.raise_signal(signal.SIGUSR2)
            assert stop_requested()
            assert not submitit_signal
        raise StoppedError("will resume at step 5 of 9")

    monkeypatch.setattr(cluster.local, "run_all", trains)
    with pytest.raises(StoppedError):
        cluster._Job()(cells()[0], tmp_path, [])
    assert submitit_signal == [(signal.SIGUSR2, None)]


def test_a_job_whose_time_is_up_before_it_trains_is_queued_again(
    tmp_path, monkeypatch, submitit_signal
):
    def loads(*_):
        signal.raise_signal(signal.SIGUSR2)
        raise AssertionError("went on")

    monkeypatch.setattr(cluster.local, "run_all", loads)
    with pytest.raises(SystemExit):
        cluster._Job()(cells()[0], tmp_path, [])
    assert submitit_signal == [(signal.SIGUSR2, None)]


def test_a_job_that_is_cancelled_is_not_queued_again(tmp_path, monkeypatch, submitit_signal):
    def is_cancelled(*_):
        raise StoppedError("SIGTERM")

    monkeypatch.setattr(cluster.local, "run_all", is_cancelled)
    with pytest.raises(StoppedError):
        cluster._Job()(cells()[0], tmp_path, [])
    assert not submitit_signal


@pytest.mark.long
@pytest.mark.parametrize("answer", [0, 1])
def test_time_that_is_up_is_no_failure_even_if_slurm_cannot_queue_the_job_again(tmp_path, answer):
    utils = pytest.importorskip("submitit.core.utils", reason="submitit is in the extra 'slurm'")
    spec = dataclasses.replace(table_specs.get("digits"), scale=50)
    (cell,) = of_table(spec, [("CCE", "sym_0.2")], {}, seeds=[1])
    job = utils.DelayedSubmission(cluster._Job(), cell, tmp_path, [])
    job.set_timeout(60, 3)
    job.dump(tmp_path / "7_submitted.pkl")
    scontrol = tmp_path / "scontrol"
    scontrol.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/asked\nexit {answer}\n')
    scontrol.chmod(0o755)
    slurm = {"SLURM_JOB_ID": "7", "SUBMITIT_EXECUTOR": "slurm"}
    started = subprocess.Popen(
        [sys.executable, "-m", "submitit.core._submit", str(tmp_path)],
        env=os.environ | slurm | {"PATH": f"{tmp_path}:{os.environ['PATH']}"},
    )
    try:
        deadline = time.monotonic() + 120
        while not list(tmp_path.glob("runs/*/metrics.jsonl")) and time.monotonic() < deadline:
            time.sleep(0.02)
        started.send_signal(signal.SIGUSR2)
        assert started.wait(60) != 0
    finally:
        started.kill()
    assert (tmp_path / "asked").read_text() == "requeue 7\n"
    (saved,) = tmp_path.glob("runs/*/checkpoints/*")
    assert saved.name.isdecimal()
    assert not (tmp_path / "results.jsonl").exists()
