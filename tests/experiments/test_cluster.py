"""Cells as jobs: by submitit's own local cluster, which starts real processes."""

import concurrent.futures
import dataclasses
import os
import signal
import subprocess
import sys
import time

import pytest

from dm_jax import train
from dm_jax.train.stop_request import StopRequest
from experiments.tables import cluster, local, record, results_file, table_specs, tuning_file
from experiments.tables.cells import missing, of_table
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
    monkeypatch.setattr(record, "_git", lambda *_: now[0])
    record.commit.cache_clear()
    try:
        cluster.run_one(cells()[0], tmp_path, [])
    finally:
        record.commit.cache_clear()
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
        raise local.StoppedError("will resume at step 5 of 9")

    monkeypatch.setattr(cluster.local, "run_all", trains)
    with pytest.raises(local.StoppedError):
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
        raise local.StoppedError("SIGTERM")

    monkeypatch.setattr(cluster.local, "run_all", is_cancelled)
    with pytest.raises(local.StoppedError):
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


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A made-up SLURM on the path: it queues jobs, runs none, and says what `state` holds."""
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    tools, state = tmp_path / "bin", tmp_path / "state"
    tools.mkdir()
    state.write_text("PENDING")
    programs = {
        "srun": "exit 1",
        "sbatch": f'cp "$1" {tmp_path}/job.sh; echo "Submitted batch job 7"',
        "sacct": f"""
            case $(cat {state}) in
              down) echo "slurmdbd is down" >&2; exit 1;;
              unlisted) echo "JobID|State|NodeList";;
              *) echo "JobID|State|NodeList"; for i in 0 1; do echo "7_$i|$(cat {state})|"; done;;
            esac""",
    }
    for name, program in programs.items():
        (tools / name).write_text(f"#!/bin/sh\n{program}\n")
        (tools / name).chmod(0o755)
    monkeypatch.setenv("PATH", str(tools), prepend=":")
    return state


def reproduce_on_slurm(folder, returncode=0):
    arguments = ["--executor=slurm", "--minutes=90", "--slurm=partition=gpu,cpus-per-task=8"]
    table = ["--table=8", "--rows=0.4", "--columns=Baseline", "--seeds=2", f"--workdir={folder}"]
    command = [sys.executable, "-m", "experiments.reproduce", *table, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == returncode, done.stderr
    return done.stdout + done.stderr


@pytest.mark.long
def test_a_job_that_slurm_does_not_list_yet_is_not_sent_again(slurm, tmp_path):
    workdir = tmp_path / "work"
    reproduce_on_slurm(workdir)
    slurm.write_text("unlisted")
    assert "0 jobs submitted, 2 already pending or running" in reproduce_on_slurm(workdir)
    os.utime(workdir / "jobs" / "submitted.json", (0, 0))  # forgotten by SLURM since
    assert "2 jobs submitted, 0 already pending or running" in reproduce_on_slurm(workdir)
    slurm.write_text("down")
    said = reproduce_on_slurm(workdir, returncode=1)
    assert "sacct cannot say which jobs are pending or running: slurmdbd is down" in said


def test_a_table_is_sent_to_slurm_once_and_again_what_was_lost(slurm, tmp_path):
    workdir = tmp_path / "work"
    assert "2 jobs submitted, 0 already pending or running" in reproduce_on_slurm(workdir)
    asked = (tmp_path / "job.sh").read_text()
    for option in ("partition=gpu", "cpus-per-task=8", "time=90", "gpus-per-node=1", "array=0-1"):
        assert f"#SBATCH --{option}" in asked
    assert "0 jobs submitted, 2 already pending or running" in reproduce_on_slurm(workdir)
    for state in ("NODE_FAIL", "PREEMPTED"):
        slurm.write_text(state)
        assert "2 jobs submitted, 0 already pending or running" in reproduce_on_slurm(workdir)


def test_a_finished_table_is_reported_not_submitted(slurm, tmp_path):
    workdir = tmp_path / "work"
    wanted = of_table(table_specs.get("8"), [("0.4", "Baseline")], {}, seeds=[1, 2])
    for cell in wanted:
        failed = record.result(cell, ValueError("not run"))
        ended = dataclasses.replace(failed, status="ok", error=None, final=50.0, best=50.0)
        results_file.append(workdir / "results.jsonl", ended)
    said = reproduce_on_slurm(workdir)
    assert "0.4 Baseline 50.0 ± 0.0" in " ".join(said.split())
    assert "submitted" not in said
    assert (workdir / "report.html").exists()


def test_a_table_sent_twice_at_once_is_sent_once(slurm, tmp_path):
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        sent = [pool.submit(cluster.submit, cells(), tmp_path, minutes=5) for _ in range(2)]
    assert sorted(len(jobs.result()) for jobs in sent) == [0, 2]


def test_a_cell_is_not_sent_while_a_job_trains_it_with_another_config(slurm, tmp_path):
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.02)
    others = of_table(spec, [("CCE", "sym_0.2")], {}, seeds=[2, 3])
    cluster.submit(cells(), tmp_path, minutes=5)
    with pytest.raises(ValueError, match=r"job 7_1 trains .* seed 2 with another config"):
        cluster.submit(others, tmp_path, minutes=5)
    slurm.write_text("COMPLETED")
    assert len(cluster.submit(others, tmp_path, minutes=5)) == 2


def test_cells_that_were_sent_stay_known_when_others_are(slurm, tmp_path):
    first, others = cells(), [dataclasses.replace(cell, row="MAE") for cell in cells()]
    sent = [cluster.submit(some, tmp_path, minutes=5) for some in (first, others, first, others)]
    assert [len(jobs) for jobs in sent] == [2, 2, 0, 0]


@pytest.mark.parametrize(
    ("state", "again"),
    [(state, 0) for state in ("CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED")]
    + [(state, 2) for state in ("COMPLETED", "TIMEOUT")],
)
def test_a_cell_is_sent_again_once_its_job_has_ended(slurm, tmp_path, state, again):
    cluster.submit(cells(), tmp_path, minutes=5)
    slurm.write_text(state)
    assert len(cluster.submit(cells(), tmp_path, minutes=5)) == again


def test_a_cell_whose_job_failed_is_sent_again_with_its_error(slurm, tmp_path):
    wanted = cells()
    cluster.submit(wanted, tmp_path, minutes=5)
    slurm.write_text("FAILED")
    with pytest.warns(UserWarning, match=r"seed 1 \(and 1 more\).* no result .*7_0_0_log\.err"):
        cluster.submit(wanted, tmp_path, minutes=5)
    slurm.write_text("COMPLETED")
    results_file.append(tmp_path / "results.jsonl", record.result(wanted[0], ValueError("bad")))
    with pytest.warns(
        UserWarning, match="seed 1: the last job failed, sent again: ValueError: bad"
    ):
        cluster.submit(wanted[:1], tmp_path, minutes=5)


def test_a_cell_waits_for_slurm_to_list_its_job_but_not_forever(slurm, tmp_path):
    def sent():
        return len(cluster.submit(cells(), tmp_path, minutes=5))

    assert sent() == 2
    slurm.write_text("unlisted")
    assert sent() == 0
    os.utime(tmp_path / "jobs" / "submitted.json", (0, 0))
    assert sent() == 2
    slurm.write_text("down")
    with pytest.raises(RuntimeError, match=r"pending or running: slurmdbd is down$"):
        sent()


def test_options_have_the_types_of_submitit(slurm, tmp_path):
    options = {
        "nodes": "1",
        "ntasks-per-node": "1",
        "array-parallelism": "2",
        "account": "0012",
        "setup": "module load cuda",
        "use_srun": "false",
        "exclusive": "true",
    }
    assert len(cluster.submit(cells(), tmp_path, minutes=5, options=options)) == 2
    asked = (tmp_path / "job.sh").read_text()
    for option in ("nodes=1", "ntasks-per-node=1", "array=0-1%2", "account=0012", "exclusive"):
        assert f"#SBATCH --{option}\n" in asked
    assert "\nmodule load cuda\n" in asked
    assert "srun" not in asked
    with pytest.raises(ValueError, match="use_srun must be true or false, got 'no'"):
        cluster.submit(cells(), tmp_path, minutes=5, options={"use-srun": "no"})
    with pytest.raises(ValueError, match="--slurm: additional_parameters is a dict"):
        cluster.submit(cells(), tmp_path, minutes=5, options={"additional-parameters": "x"})


@pytest.mark.parametrize("name", ["time", "timeout-min"])
def test_the_time_limit_is_minutes(slurm, tmp_path, name):
    with pytest.raises(ValueError, match="time limit of a job is --minutes"):
        cluster.submit(cells(), tmp_path, minutes=5, options={name: "60"})


def test_an_option_that_submitit_does_not_know_is_named(slurm, tmp_path):
    with pytest.raises(ValueError, match=r"--slurm: .*partitoin"):
        cluster.submit(cells(), tmp_path, minutes=5, options={"partitoin": "gpu"})


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="slurm cluster"):
        cluster.submit(cells(), tmp_path, minutes=5)
