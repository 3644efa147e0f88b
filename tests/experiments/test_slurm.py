"""What is sent to SLURM and when, with a made-up SLURM that runs nothing."""

import concurrent.futures
import dataclasses
import subprocess
import sys

import pytest

from experiments.tables import cluster, record, results_file, submitted, table_specs
from experiments.tables.cells import of_table
from tests.experiments.test_cluster import cells


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    """A made-up SLURM on the path: it queues jobs, runs none, and says what `state` holds."""
    submitit = pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    # It remembers the states of jobs by number, and here they all have the same ones.
    watcher = type(submitit.SlurmJob.watcher)()
    monkeypatch.setattr(submitit.SlurmJob, "watcher", watcher)
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


def _age(jobs):
    """Moves the sending of all jobs to a day that SLURM has forgotten."""
    sent = submitted.read(jobs)
    old = {
        name: dataclasses.replace(one, date="2020-01-01T00:00:00+00:00")
        for name, one in sent.items()
    }
    submitted.write(jobs, old)


def reproduce_on_slurm(folder):
    arguments = ["--executor=slurm", "--minutes=90", "--slurm=partition=gpu,cpus-per-task=8"]
    table = ["--table=8", "--rows=0.4", "--columns=Baseline", "--seeds=2", f"--workdir={folder}"]
    command = [sys.executable, "-m", "experiments.reproduce", *table, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout + done.stderr


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


@pytest.mark.filterwarnings("ignore:.* wrote no result")
def test_a_job_that_slurm_has_forgotten_does_not_train_another_config(slurm, tmp_path):
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.02)
    cluster.submit(cells(), tmp_path, minutes=5)
    _age(tmp_path / "jobs")
    slurm.write_text("unlisted")
    others = of_table(spec, [("CCE", "clean"), ("CCE", "sym_0.2")], {}, seeds=[1])
    assert len(cluster.submit(others, tmp_path, minutes=5)) == 2


def test_cells_of_other_methods_are_not_taken_for_one_with_another_config(slurm, tmp_path):
    """Their folders may be called the same, but for the hash."""
    first, second = (
        dataclasses.replace(cell, row=f"DM {letter}", seed=1)
        for cell, letter in zip(
            cells(), "\N{GREEK SMALL LETTER BETA}\N{GREEK SMALL LETTER MU}", strict=True
        )
    )
    assert first.folder_name.rpartition("-")[0] == second.folder_name.rpartition("-")[0]
    assert [len(cluster.submit([cell], tmp_path, minutes=5)) for cell in (first, second)] == [1, 1]


def test_jobs_of_an_earlier_version_are_refused(slurm, tmp_path):
    cluster.submit(cells(), tmp_path, minutes=5)
    (tmp_path / "jobs" / "submitted.json").write_text('{"digits-CCE-clean-1": "7_0"}')
    with pytest.raises(ValueError, match=r"does not hold jobs of this version .* remove it once"):
        cluster.submit(cells(), tmp_path, minutes=5)


def test_cells_that_were_sent_stay_known_when_others_are(slurm, tmp_path):
    first, others = cells(), [dataclasses.replace(cell, row="MAE") for cell in cells()]
    sent = [cluster.submit(some, tmp_path, minutes=5) for some in (first, others, first, others)]
    assert [len(jobs) for jobs in sent] == [2, 2, 0, 0]


@pytest.mark.parametrize(
    ("state", "again"),
    [(state, 0) for state in ("CONFIGURING", "RUNNING", "SUSPENDED", "COMPLETING", "REQUEUED")]
    + [(state, 2) for state in ("COMPLETED", "TIMEOUT")],
)
@pytest.mark.filterwarnings("ignore:.* wrote no result")
def test_a_cell_is_sent_again_once_its_job_has_ended(slurm, tmp_path, state, again):
    cluster.submit(cells(), tmp_path, minutes=5)
    slurm.write_text(state)
    assert len(cluster.submit(cells(), tmp_path, minutes=5)) == again


def test_a_cell_whose_job_failed_is_sent_again_with_its_error(slurm, tmp_path):
    wanted = cells()
    cluster.submit(wanted, tmp_path, minutes=5)
    slurm.write_text("FAILED")
    with pytest.warns(
        UserWarning, match=r"seed 1 \(and 1 more\): .* wrote no result; see .*7_0_0_log\.\*"
    ):
        cluster.submit(wanted, tmp_path, minutes=5)
    slurm.write_text("COMPLETED")
    results_file.append(tmp_path / "results.jsonl", record.result(wanted[0], ValueError("bad")))
    with pytest.warns(UserWarning, match="as the last job failed: ValueError: bad; see"):
        cluster.submit(wanted[:1], tmp_path, minutes=5)
    _age(tmp_path / "jobs")
    earlier = dataclasses.replace(record.result(wanted[1], ValueError("old")), date="2019-01-01")
    other = dataclasses.replace(record.result(wanted[1], ValueError("other")), config_hash="f" * 12)
    for failed in (earlier, other):
        results_file.append(tmp_path / "results.jsonl", failed)
    with pytest.warns(UserWarning, match="seed 2: sent again, as the last job wrote no result"):
        cluster.submit(wanted[1:], tmp_path, minutes=5)


def test_a_cell_that_ends_before_slurm_is_asked_is_not_sent_again(slurm, tmp_path):
    wanted = cells()
    cluster.submit(wanted, tmp_path, minutes=5)
    slurm.write_text("COMPLETED")
    for cell in wanted:
        ended = record.result(cell, ValueError("replaced"))
        ended = dataclasses.replace(ended, status="ok", error=None, final=50.0, best=50.0)
        results_file.append(tmp_path / "results.jsonl", ended)
    assert cluster.submit(wanted, tmp_path, minutes=5) == []


@pytest.mark.filterwarnings("ignore:.* wrote no result")
def test_a_cell_waits_for_slurm_to_list_its_job_but_not_forever(slurm, tmp_path):
    def sent():
        return len(cluster.submit(cells(), tmp_path, minutes=5))

    assert sent() == 2
    slurm.write_text("unlisted")
    assert sent() == 0
    _age(tmp_path / "jobs")
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
    with pytest.raises(ValueError, match=r"^--slurm: use_srun must be true or false, got 'no'"):
        cluster.submit(cells(), tmp_path, minutes=5, options={"use-srun": "no"})
    assert (
        len(cluster.submit(cells(), tmp_path / "b", minutes=5, options={"exclusive": "false"})) == 2
    )
    assert "exclusive" not in (tmp_path / "job.sh").read_text()
    with pytest.raises(ValueError, match="--slurm: additional_parameters is a dict"):
        cluster.submit(cells(), tmp_path, minutes=5, options={"additional-parameters": "x"})


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [("signal", "B:USR1@60", "signal is set by dm_jax"), ("mem-gb", "16.5", "mem_gb: invalid lit")],
)
def test_options_that_cannot_be_used_are_named(slurm, tmp_path, name, text, words):
    with pytest.raises(ValueError, match=f"--slurm: {words}"):
        cluster.submit(cells(), tmp_path, minutes=5, options={name: text})


@pytest.mark.parametrize("name", ["time", "timeout-min"])
def test_the_time_limit_is_minutes(slurm, tmp_path, name):
    with pytest.raises(ValueError, match="time limit of a job is --minutes"):
        cluster.submit(cells(), tmp_path, minutes=5, options={name: "60"})


def test_sbatch_judges_the_options_that_submitit_does_not_know(slurm, tmp_path):
    options = {"requeue": "true", "reservation": "my group", "cluster-constraint": "a100"}
    cluster.submit(cells(), tmp_path, minutes=5, options=options)
    asked = (tmp_path / "job.sh").read_text()
    for option in ("requeue", "reservation='my group'", "cluster-constraint=a100"):
        assert f"#SBATCH --{option}\n" in asked
    refuse = 'grep -o -e "--partitoin" "$1" >&2 && exit 1'
    (tmp_path / "bin" / "sbatch").write_text(f"#!/bin/sh\n{refuse}\n")
    with pytest.raises(RuntimeError, match="--partitoin"):
        cluster.submit(cells(), tmp_path / "b", minutes=5, options={"partitoin": "gpu"})


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="slurm cluster"):
        cluster.submit(cells(), tmp_path, minutes=5)
