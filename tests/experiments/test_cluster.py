"""Cells as jobs: by submitit's own local cluster, which starts real processes."""

import dataclasses
import sys

import pytest

from experiments import cluster, reproduce, results_file, tables


def cells():
    spec = dataclasses.replace(tables.spec("digits"), scale=0.01)
    return reproduce.make_cells(spec, [("CCE", "sym_0.2")], {}, seeds=[1, 2])


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
