"""Cells as jobs: by submitit's own local cluster, which starts real processes."""

import dataclasses
import os
import subprocess
import sys

import pytest

from experiments import cluster, record, reproduce, results_file, table_specs


def cells():
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.01)
    return reproduce.make_cells(spec, [("CCE", "sym_0.2")], {}, seeds=[1, 2])


@pytest.mark.long
def test_every_job_appends_its_result(tmp_path):
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    wanted = cells()
    jobs = cluster.submit(wanted, tmp_path, minutes=5, cluster="local")
    assert [job.result() for job in jobs] == ["ok", "ok"]
    found = {result.key: result for result in results_file.read(tmp_path / "results.jsonl")}
    assert found.keys() == {cell.key for cell in wanted}
    assert not reproduce.missing_cells(tmp_path / "results.jsonl", wanted)


def test_without_submitit_it_says_what_to_install(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'dm_jax\[slurm\]'"):
        cluster.submit(cells(), tmp_path, minutes=5)


def test_a_job_whose_time_is_up_is_no_failure_of_its_cell(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    from submitit.core.utils import UncompletedJobError

    cell, job = cells()[0], cluster._Job()
    again = job.checkpoint(cell, tmp_path, ["--table=digits"])
    assert (again.function, again.args) == (job, (cell, tmp_path, ["--table=digits"]))
    time_is_up = UncompletedJobError("not requeued: timed-out too many times")
    monkeypatch.setattr(cluster.cells_lib, "run_all", lambda *_: [(cell, time_is_up)])
    with pytest.raises(UncompletedJobError, match="too many times"):
        job(cell, tmp_path, [])
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
    wanted = reproduce.make_cells(table_specs.get("8"), [("0.4", "Baseline")], {}, seeds=[1, 2])
    for cell in wanted:
        failed = record.result(cell, ValueError("not run"))
        ended = dataclasses.replace(failed, status="ok", error=None, final=50.0, best=50.0)
        results_file.append(workdir / "results.jsonl", ended)
    said = reproduce_on_slurm(workdir)
    assert "0.4 Baseline 50.0 ± 0.0" in " ".join(said.split())
    assert "submitted" not in said
    assert (workdir / "report.html").exists()


def test_an_option_that_submitit_does_not_know_is_named(slurm, tmp_path):
    with pytest.raises(ValueError, match=r"--slurm: .*partitoin"):
        cluster.submit(cells(), tmp_path, minutes=5, options={"partitoin": "gpu"})


def test_without_slurm_it_says_so(tmp_path, monkeypatch):
    pytest.importorskip("submitit", reason="submitit is in the extra 'slurm'")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(RuntimeError, match="slurm cluster"):
        cluster.submit(cells(), tmp_path, minutes=5)
