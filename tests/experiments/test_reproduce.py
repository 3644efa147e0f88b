"""A table from the command line: search, run, resume, report; on real digits, scaled down."""

import dataclasses
import json
import signal
import subprocess
import sys
import types
import warnings

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from dm_jax import train
from dm_jax.train import workdir as workdir_lib
from dm_jax.train.differences import differences
from experiments import commit, reproduce, startup
from experiments.progress import ProgressBar
from experiments.tables import cells, local, record, results_file, search, table_specs, workers
from experiments.tables.outcome import StoppedError

COMMAND = [sys.executable, "-m", "experiments.reproduce", "--table=digits", "--scale=0.02"]


def command(workdir, *arguments):
    return subprocess.run(
        [*COMMAND, f"--workdir={workdir}", *arguments], capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("digits")
    done = command(folder, "--rows=CCE,DM", "--columns=sym_0.4", "--seeds=2")
    assert done.returncode == 0, done.stderr
    return folder


def test_a_table_leaves_results_report_and_what_was_searched(workdir):
    results = results_file.read(workdir / "results.jsonl")
    assert {result.key for result in results} == {
        ("digits", row, "sym_0.4", seed) for row in ("CCE", "DM") for seed in (1, 2)
    }
    for result in results:
        assert (result.scale, result.status) == (0.02, "ok")
        assert len(result.corruption) == 64
        assert result.curves["steps"][-1] == 40
    report = (workdir / "report.md").read_text()
    assert "scale 0.02" in report
    assert "Table 5" not in report
    assert (workdir / "report.html").exists()
    (tuned,) = json.loads((workdir / "tuning.json").read_text()).values()
    best = max(score for _, score in tuned["tried"])
    assert [tuned["chosen"], best] in tuned["tried"]
    dm = next(result for result in results if result.row == "DM")
    assert {k: dm.config["loss"][k] for k in ("lam", "beta")} == tuned["chosen"]


def test_started_again_it_runs_only_what_is_missing(workdir):
    before = (workdir / "results.jsonl").read_bytes()
    again = command(workdir, "--rows=CCE,MAE", "--columns=sym_0.4", "--seeds=2")
    assert again.returncode == 0, again.stderr
    assert "4 runs, 2 of them done" in again.stdout
    shown = [line.split() for line in again.stdout.splitlines()]
    assert [line[:2] for line in shown if "±" in line] == [
        [row, "sym_0.4"]
        for row in ("CCE", "MAE", "DM")  # in the table's order
    ]
    assert str(workdir / "report.html") in again.stdout
    assert again.stdout.count("[scale 0.02]") == 3
    after = (workdir / "results.jsonl").read_bytes()
    assert after.startswith(before)
    assert len(after.splitlines()) == 6


def test_results_of_another_config_are_refused(workdir):
    """At once, not after the search of GCE."""
    rows = ("--rows=CCE,GCE", "--columns=sym_0.4")
    other = command(workdir, *rows, "--set=train.batch_size=64")
    assert other.returncode == 1
    assert "another results file" in other.stderr
    assert "to search" not in other.stdout


def test_a_failed_cell_is_in_the_results_and_the_exit_code(tmp_path):
    nowhere = f"--set=data.name=npz:{tmp_path}/missing.npz"
    done = command(tmp_path, "--rows=CCE", "--columns=clean", "--seeds=1", nowhere)
    assert done.returncode == 1
    assert "runs that failed: 1" in done.stderr
    assert "CCE, clean, seed 1 failed: " in done.stdout
    (result,) = results_file.read(tmp_path / "results.jsonl")
    assert (result.status, "missing.npz" in result.error) == ("failed", True)
    assert "missing.npz" in (tmp_path / "report.md").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set=data.test=false", "--rows=CCE"], "data.test must be true"),
        (["--rows=CC"], "did you mean 'CCE'"),
        (["--columns=sym_0.5"], "did you mean 'sym_0"),
        (
            ["--set=loss.bet=3", "--rows=CCE"],
            "unknown config argument 'bet'. Known: ",
        ),
        (
            ["--rows=GCE,Own", "--method=Own: method=DM,lamm=1"],  # before the search of GCE
            "unknown config argument 'loss.lamm'; did you mean 'lam'",
        ),
        (["--set=rate=0.6", "--rows=CCE"], "--set=rate: table digits sets it"),
        (["--set=beta=2", "--rows=DM"], "--set=beta: it is searched for DM at"),
        (["--scale=nan", "--rows=CCE"], "--scale must be a finite number above 0, got nan"),
        (["--rows=CCE,", "MAE"], "takes one or more comma-separated patterns"),
        (["--rows=CCE", "MAE"], "unexpected 'MAE': flags are --name=value"),
        (["--set=model=resnet2O", "--rows=CCE"], "CCE at clean: unknown model 'resnet2O'; did you"),
        (
            ["--rows=Own", "--method=Own: method=DM", "--grid=Own: bta=4"],
            "Own at clean: config.loss: unknown parameter of DM 'bta'; did you mean 'beta'",
        ),
        (
            ["--rows=Own", "--method=Own: method=DM", "--grid=Own: name=4;5"],
            "Own at clean: config.loss: unknown parameter of DM 'name'",
        ),
        (["--rows=CCE", "--tune"], "--tune: table digits has nothing to search in these rows"),
        (["--slurm=partition=gpu"], "--slurm and --minutes require --executor=slurm"),
        (
            ["--rows=CCE", "--executor=slurm", "--slurm=nodes=1,nodes=2"],
            "--slurm gives an option twice, got nodes=1,nodes=2",
        ),
        (["--minutes=3"], "--slurm and --minutes require --executor=slurm"),
        (
            ["--table=1", "--method=Own: method=DM", "--grid=Own: beta=4"],
            "--grid requires --tune",
        ),
        (["--workdir=README.md"], "README.md is not a writable folder"),
    ],
)
@flagsaver.flagsaver()
def test_bad_arguments_name_what_is_accepted(tmp_path, monkeypatch, arguments, message):
    """The command within this process: another would import for seconds."""
    monkeypatch.setattr(startup, "prepare", lambda: None)
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored afterwards
    monkeypatch.setattr(sys, "argv", [*COMMAND[2:], f"--workdir={tmp_path}", *arguments])
    with pytest.raises(SystemExit) as refused:
        startup.run(reproduce.main)
    assert str(refused.value).startswith("error: ")  # printed, with exit code 1
    assert message in str(refused.value)


def test_a_run_that_another_process_trains_is_left_out(tmp_path):
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.02)
    (cell,) = cells.of_table(spec, [("CCE", "clean")], {}, seeds=[1])
    with workdir_lib.lock(tmp_path / "runs" / cell.folder_name):
        done = command(tmp_path, "--rows=CCE", "--columns=clean", "--seeds=1")
    assert done.returncode == 0, done.stderr
    assert "CCE, clean, seed 1 left out: another process trains in" in done.stdout
    assert not (tmp_path / "results.jsonl").exists()


def test_a_workdir_may_begin_with_a_tilde(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert startup.folder("--workdir", "~/runs") == tmp_path / "runs"


def test_what_ran_without_a_search_is_not_searched_for_afterwards(workdir, tmp_path):
    (tmp_path / "results.jsonl").write_bytes((workdir / "results.jsonl").read_bytes())
    done = command(tmp_path, "--rows=DM", "--columns=sym_0.4", "--dry_run")
    assert done.returncode == 1
    assert "DM, sym_0.4, seed 1, which ran without a search, or with another" in done.stderr


@flagsaver.flagsaver(table="digits", rows=["MAE"], columns=["clean"], scale=0.01, seeds=1)
def test_a_result_names_the_commit_of_its_start(tmp_path, monkeypatch):
    now = {"commit": "start"}

    def run(*_, **__):
        return types.SimpleNamespace(stdout=now["commit"])

    def run_all(*arguments, **options):
        now["commit"] = "committed while it trained"
        yield from workers_run_all(*arguments, **options)

    workers_run_all = workers.run_all
    monkeypatch.setattr(workers, "run_all", run_all)
    monkeypatch.setattr(commit, "subprocess", types.SimpleNamespace(run=run))
    flags.FLAGS.mark_as_parsed()
    commit.of_code.cache_clear()
    try:
        assert reproduce.reproduce(tmp_path) == 0
    finally:
        commit.of_code.cache_clear()
    (result,) = results_file.read(tmp_path / "results.jsonl")
    assert result.commit == "start"


def test_the_commit_of_a_checkout_around_an_installed_copy_is_not_the_code_s(tmp_path, monkeypatch):
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@b.c", "-C", tmp_path]
    (tmp_path / "commit.py").touch()
    subprocess.run([*git, "init", "--quiet"], check=True)
    subprocess.run([*git, "commit", "--quiet", "--allow-empty", "--message=mine"], check=True)
    monkeypatch.setattr(commit, "__file__", str(tmp_path / "commit.py"))
    commit.of_code.cache_clear()
    try:
        assert commit.of_code() == ""
        subprocess.run([*git, "add", "commit.py"], check=True)
        commit.of_code.cache_clear()
        assert commit.of_code().endswith("+")
    finally:
        commit.of_code.cache_clear()


@pytest.mark.parametrize("program", ["reproduce", "tune"])
def test_help_names_the_flags_that_are_required(program):
    command = [sys.executable, "-m", f"experiments.{program}", "--help"]
    said = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    assert "--table: " in said
    assert "--workdir: " in said


def some_cells(count):
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.01)
    pairs = [("MAE", "sym_0.2")]
    return cells.of_table(spec, pairs, {}, seeds=range(1, count + 1))


def test_a_failed_cell_is_recorded_and_the_rest_go_on(tmp_path):
    good, bad = some_cells(2)
    missing = dataclasses.replace(bad.config.data, name=f"npz:{tmp_path / 'missing.npz'}")
    bad = dataclasses.replace(bad, config=dataclasses.replace(bad.config, data=missing))
    results = [
        record.result(cell, summary)
        for cell, summary in local.run_all([bad, good], tmp_path, ProgressBar(quiet=True))
    ]
    by_seed = {result.seed: result for result in results}
    assert by_seed[bad.seed].status == "failed"
    assert "missing.npz" in by_seed[bad.seed].error
    assert by_seed[good.seed].status == "ok"


def test_a_member_that_diverges_fails_and_its_candidate_loses(tmp_path):
    """As a single run would; the numbers of a network of NaNs are no result."""
    spec = table_specs.get("digits")
    configs = [spec.cell_config_dict("CCE", "sym_0.4", seed) for seed in (1, 2)]
    for config, rate in zip(configs, (0.03, 1e30), strict=True):
        config.train.length = config.train.log_every = "20 steps"
        config.optimizer.learning_rate = rate
    both = [
        cells.Cell("digits", "CCE", "sym_0.4", seed, train.Config.parse(config))
        for seed, config in enumerate(configs, 1)
    ]
    found = {
        cell.seed: found for cell, found in local.run_all(both, tmp_path, ProgressBar(quiet=True))
    }
    assert record.result(both[0], found[1]).status == "ok"
    assert "the loss was not finite by step 20" in record.result(both[1], found[2]).error
    assert search._score(found[2]) == 0.0


def test_cells_of_one_program_are_a_population_and_equal_single_runs(tmp_path):
    pair = some_cells(2)
    together = list(local.run_all(pair, tmp_path / "together", ProgressBar(quiet=True)))
    ((_, alone),) = local.run_all(pair[1:], tmp_path / "alone", ProgressBar(quiet=True))
    ((_, member),) = [item for item in together if item[0] is pair[1]]
    # Twenty steps: too few for float32 to drift apart.
    np.testing.assert_allclose(member.final("train_loss"), alone.final("train_loss"), rtol=1e-4)
    assert member.corruption == alone.corruption


@pytest.mark.parametrize(
    ("count", "message"),
    [
        (1, r"MAE, sym_0\.2, seed 1 will resume at step \d+ of 20"),
        (2, "2 runs that train together start over"),
    ],
    ids=["alone", "together"],
)
def test_cells_that_are_stopped_say_how_they_go_on(tmp_path, count, message):
    class Hasty(train.NoProgress):
        """Asks to stop as soon as training begins."""

        def start(self, total, step):
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(StoppedError, match=message):
        list(local.run_all(some_cells(count), tmp_path, Hasty()))


@flagsaver.flagsaver(table="digits", rows=["DM"], columns=["sym_0.4"], seeds=1, scale=0.01)
def test_a_stop_at_the_end_of_a_search_starts_no_cell(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(search, "run", lambda *_, **__: signal.raise_signal(signal.SIGTERM) or {})
    flags.FLAGS.mark_as_parsed()
    assert reproduce.reproduce(tmp_path) == 0
    assert "stopped: the search is finished, no cell was started" in capsys.readouterr().out
    assert not (tmp_path / "results.jsonl").exists()


def test_a_stop_after_the_last_step_of_a_run_is_not_forgotten(tmp_path):
    class Late(train.NoProgress):
        """Asks to stop when the training is over and its results are evaluated."""

        def close(self):
            signal.raise_signal(signal.SIGTERM)

    first, second = some_cells(2)
    alone = dataclasses.replace(second.config.train, batch_size=100)  # a program of its own
    second = dataclasses.replace(second, config=dataclasses.replace(second.config, train=alone))
    ended = local.run_all([first, second], tmp_path, Late())
    cell, summary = next(ended)
    assert (cell, summary.finished) == (first, True)
    with pytest.raises(StoppedError, match="1 run not started"):
        next(ended)


@pytest.mark.long
def test_what_a_command_warns_of_is_one_line(tmp_path):
    (tmp_path / "results.jsonl").write_text('{"schema": 1, "tab')  # a write that was cut off
    warned = command(tmp_path, "--rows=CCE", "--columns=clean", "--seeds=1", "--dry_run")
    assert warned.returncode == 0, warned.stderr
    (line,) = (line for line in warned.stderr.splitlines() if "torn last line" in line)
    assert line.startswith("warning: ")


def test_tables_and_settings_share_a_folder_without_meeting():
    names = set()
    for table, changes in (("1", ""), ("2", ""), ("1", "train.batch_size=128")):
        spec = dataclasses.replace(table_specs.get(table), changes=changes)
        (cell,) = cells.of_table(spec, [("CCE", "clean")], {}, seeds=[1])
        names.add(cell.folder_name)
    assert len(names) == 3


def test_the_folder_of_a_long_name_can_be_made(tmp_path):
    spec = table_specs.get("1")
    (cell,) = cells.of_table(spec, [("CCE", "clean")], {}, seeds=[1])
    (tmp_path / dataclasses.replace(cell, row=300 * "名").folder_name).mkdir()


def test_data_that_were_moved_leave_a_cell_what_it_was():
    here, there = (
        dataclasses.replace(table_specs.get("1"), runtime_arguments=places)
        for places in ("", "data.data_dir=/elsewhere,parallel.devices=2")
    )
    (first,) = cells.of_table(here, [("CCE", "clean")], {}, seeds=[1])
    (second,) = cells.of_table(there, [("CCE", "clean")], {}, seeds=[1])
    assert second.config.data.data_dir == "/elsewhere"
    assert second.config_hash == first.config_hash
    assert not differences(first.config.to_dict(), second.config.to_dict())


def test_a_cell_takes_as_many_devices_as_its_batch_divides_by():
    mars = table_specs.get("4").cell_config("CCE", "MARS", 1)
    assert (mars.train.batch_size, local.use_all_devices(mars).parallel.devices) == (180, 6)
    chosen = dataclasses.replace(mars, parallel=dataclasses.replace(mars.parallel, devices=2))
    assert local.use_all_devices(chosen) == chosen


def test_the_quick_start_needs_no_tensorflow(tmp_path):
    program = (
        "import runpy, sys\n"
        "sys.modules['tensorflow'] = None  # an import of it would fail\n"
        f"sys.argv = ['reproduce', '--table=digits', '--workdir={tmp_path}', '--scale=0.01',"
        " '--rows=CCE', '--columns=clean', '--seeds=2']\n"
        "runpy.run_module('experiments.reproduce', run_name='__main__')\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert len(results_file.read(tmp_path / "results.jsonl")) == 2
