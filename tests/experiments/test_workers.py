"""Cells at the same time: real processes, on digits."""

import dataclasses
import multiprocessing
import os
import pathlib
import pickle
import re
import signal
import subprocess
import sys
import time
import types

import jax
import pytest

from dm_jax import EDF
from dm_jax.train import workdir as workdir_lib
from dm_jax.train.stop_request import StopRequest
from experiments.progress import ProgressBar
from experiments.tables import cells, local, record, search, table_specs, workers
from experiments.tables.outcome import StoppedError, picklable


class Deadly(EDF):
    """Ends the process that computes with it, unless that is the test's own."""

    def weight(self, p):
        if multiprocessing.parent_process() is not None:
            os._exit(3)
        return 1 - p


class TwoWordsError(Exception):
    """Can be pickled but not be read again."""

    def __init__(self, first, second):
        super().__init__(f"{first} {second}")


def some_cells(*rows, scale=0.02):
    spec = dataclasses.replace(table_specs.get("digits"), scale=scale)
    return cells.of_table(spec, [(row, "sym_0.4") for row in rows], {}, seeds=[1])


def finals(outcomes):
    return {cell.row: summary.final() for cell, summary in outcomes}


@pytest.mark.long
def test_at_the_same_time_they_give_what_they_give_alone(tmp_path):
    wanted = some_cells("CCE", "CCE-DN")
    together = workers.run_all(wanted, tmp_path / "a", ProgressBar(quiet=True), at_once=2)
    alone = workers.run_all(wanted, tmp_path / "b", ProgressBar(quiet=True), at_once=1)
    assert finals(together) == finals(alone)
    assert len(list((tmp_path / "a").iterdir())) == 2


@pytest.mark.long
def test_a_process_that_dies_is_its_cells_failure(tmp_path):
    good, bad = some_cells("CCE", "CCE-DN")
    loss = dataclasses.replace(bad.config.loss, name=f"{__name__}:Deadly", parameters={})
    bad = dataclasses.replace(bad, config=dataclasses.replace(bad.config, loss=loss))
    found = workers.run_all([good, bad], tmp_path, ProgressBar(quiet=True), at_once=2)
    outcomes = {cell.row: outcome for cell, outcome in found}
    assert outcomes["CCE"].finished
    with pytest.raises(RuntimeError, match=r"process of CCE-DN, sym_0\.4, seed 1 .* exit code 3"):
        raise outcomes["CCE-DN"]
    assert record.result(bad, outcomes["CCE-DN"]).status == "failed"


@pytest.fixture
def running(tmp_path):
    """A table whose two cells are training, for minutes."""
    table = ["--table=digits", "--rows=CCE,CCE-DN", "--columns=sym_0.4", "--seeds=1"]
    command = [sys.executable, "-m", "experiments.reproduce", *table, "--scale=50", "--at_once=2"]
    process = subprocess.Popen(
        [*command, f"--workdir={tmp_path}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_until(lambda: len(list(tmp_path.glob("runs/*/metrics.jsonl"))) == 2)
    yield process
    process.kill()


def wait_until(condition, seconds=120):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.1)


def is_held(folder):
    try:
        with workdir_lib.lock(folder):
            return False
    except OSError:
        return True


@pytest.mark.long
def test_asked_to_stop_all_of_them_checkpoint(running, tmp_path):
    running.send_signal(signal.SIGTERM)
    said, _ = running.communicate(timeout=120)
    assert running.returncode == 0
    assert "stopped: " in said
    for row in ("CCE", "CCE-DN"):
        assert f"{row}, sym_0.4, seed 1 will resume at step" in said
    assert len(list(tmp_path.glob("runs/*/checkpoints/*"))) >= 2
    assert not (tmp_path / "results.jsonl").exists()


@pytest.mark.long
def test_an_error_of_the_command_ends_them_all(running, tmp_path):
    """Here results that cannot be written; a worker's death is one to write."""
    (tmp_path / "results.jsonl").mkdir()
    os.kill(min(workers_of(running)), signal.SIGKILL)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 1
    assert "error: " in said
    assert not any(is_held(folder) for folder in tmp_path.glob("runs/*"))


def workers_of(process):
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    commands = {pid: pathlib.Path(f"/proc/{pid}/cmdline").read_text() for pid in children}
    return [int(pid) for pid, command in commands.items() if "spawn_main" in command]


@pytest.mark.long
def test_they_do_not_outlive_what_started_them(running, tmp_path):
    folders = list(tmp_path.glob("runs/*"))
    assert all(is_held(folder) for folder in folders)
    running.kill()
    wait_until(lambda: not any(is_held(folder) for folder in folders))


@pytest.mark.long
def test_a_search_finds_what_it_finds_alone(tmp_path, monkeypatch):
    grids = {"DM": {"beta": (1.0, 8.0)}}
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.01, grids=grids)
    monkeypatch.setattr(search, "SEARCH_SEEDS", (1,))
    pairs = [("DM", "sym_0.4"), ("DM", "clean")]
    alone, together = (
        search.run(spec, pairs, tmp_path / str(n), ProgressBar(quiet=True), at_once=n)
        for n in (1, 2)
    )
    assert alone == together


def test_what_cannot_share_a_device_is_refused(tmp_path):
    (cell,) = some_cells("CCE")
    parallel = dataclasses.replace(cell.config.parallel, devices=2)
    cell = dataclasses.replace(cell, config=dataclasses.replace(cell.config, parallel=parallel))
    with pytest.raises(ValueError, match=r"parallel\.devices must be 0 or 1, got 2"):
        list(workers.run_all([cell], tmp_path, ProgressBar(quiet=True), at_once=2))


def test_a_tpu_is_not_shared(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "tpu")
    with pytest.raises(ValueError, match="need a CPU or GPUs, got tpu"):
        workers.assignable_devices()


def test_a_cluster_has_a_job_for_each_cell(tmp_path):
    table = ["--table=digits", "--executor=slurm", "--at_once=2", f"--workdir={tmp_path}"]
    command = [sys.executable, "-m", "experiments.reproduce", *table]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "--at_once requires --executor=local" in done.stderr


def test_an_error_that_cannot_travel_is_put_into_words():
    error = ValueError("no", lambda: None)
    assert str(picklable(error)).startswith("ValueError: ('no', ")
    assert str(picklable(TwoWordsError("disk", "full"))) == "TwoWordsError: disk full"
    assert str(picklable(OSError("disk full"))) == "disk full"


def test_an_error_of_the_users_code_keeps_its_place():
    """Its traceback does not travel."""
    try:
        [][1]
    except IndexError as error:
        travelled = pickle.loads(pickle.dumps(picklable(error)))
    text = record.result(some_cells("CCE")[0], travelled).error
    assert re.fullmatch(r"IndexError: list index .* \(.*test_workers\.py, line \d+, in .*\)", text)


def test_processes_are_shared_out_over_the_gpus(tmp_path, monkeypatch):
    started = []

    class Done(workers._Worker):
        """Has said at once that its cells have ended."""

        def __init__(self, cells, folder, device):
            started.append(device)
            self.cells, self.device = cells, device
            self.outcome, sender = multiprocessing.Pipe(duplex=False)
            sender.send([(cell, None) for cell in cells])

    monkeypatch.setattr(workers, "assignable_devices", lambda: ["0", "1"])
    monkeypatch.setattr(workers, "_Worker", Done)
    monkeypatch.setattr(workers, "share_devices", lambda: started.append("memory shared"))
    wanted = some_cells("CCE", "CCE-DN") + some_cells("CCE", "CCE-DN", scale=0.03)
    noise = dataclasses.replace(wanted[0].config.noise, kind="file:no.npy")
    broken = dataclasses.replace(
        wanted[0], config=dataclasses.replace(wanted[0].config, noise=noise)
    )
    outcomes = list(
        workers.run_all([*wanted, broken], tmp_path, ProgressBar(quiet=True), at_once=2)
    )
    assert [cell for cell, _ in outcomes] == [broken, *wanted]
    assert isinstance(outcomes[0][1], Exception)
    assert started == ["memory shared", "0", "1", "0", "1"]
    assert Done(wanted, tmp_path, "0").name == "CCE, sym_0.4, seed 1 (and 3)"


def test_a_process_starts_on_its_gpu_deaf_to_ctrl_c_and_its_death_is_heard(tmp_path, monkeypatch):
    seen = []

    class Stillborn:
        exitcode = 3

        def __init__(self, target, args):
            assert target is workers._work

        def start(self):
            handler = signal.getsignal(signal.SIGINT)
            seen.append((os.environ["CUDA_VISIBLE_DEVICES"], handler))

        def join(self):
            pass

    spawning = types.SimpleNamespace(Pipe=multiprocessing.Pipe, Process=Stillborn)
    monkeypatch.setattr(workers, "_spawning", spawning)
    before = signal.getsignal(signal.SIGINT)
    worker = workers._Worker(some_cells("CCE"), tmp_path, "1")
    assert seen == [("1", signal.SIG_IGN)]
    assert signal.getsignal(signal.SIGINT) is before
    assert worker.outcome.poll()  # the process had the only other end
    assert str(worker.end()) == "the process of CCE, sym_0.4, seed 1 ended with exit code 3"


def test_a_process_reports_whatever_ended_its_cells(tmp_path, monkeypatch):
    wanted, stopped = some_cells("CCE", "CCE-DN"), StoppedError("2 runs not started")

    def ends(cells, folder, progress):
        yield cells[0], "the summary"
        yield cells[1], ValueError("no", lambda: None)  # cannot travel

    def stops(*_):
        raise stopped

    monkeypatch.setattr(workers.startup, "prepare", lambda: None)
    receiver, sender = multiprocessing.Pipe(duplex=False)
    reports = []
    for run_all in (ends, stops):
        monkeypatch.setattr(local, "run_all", run_all)
        workers._work(wanted, tmp_path, os.getppid(), sender)
        reports.append(receiver.recv())
    assert reports[0][0] == (wanted[0], "the summary")
    assert reports[0][1][0] == wanted[1]
    assert str(reports[0][1][1]).startswith("ValueError: ('no', ")
    assert (type(reports[1]), str(reports[1])) == (StoppedError, str(stopped))
    receiver.close()  # what started it has ended
    workers._work(wanted, tmp_path, os.getppid(), sender)


def test_a_run_whose_starter_has_ended_stops():
    with StopRequest() as stop_requested:
        workers._StopWithParent(os.getppid()).start(9, 0)
        assert not stop_requested()
        workers._StopWithParent(os.getpid()).update(1)
        assert stop_requested()


def test_gpus_are_those_that_this_process_sees(monkeypatch):
    monkeypatch.setattr(jax, "default_backend", lambda: "gpu")
    monkeypatch.setattr(jax, "local_device_count", lambda: 2)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    assert workers.assignable_devices() == ["0", "1"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "2,3")
    assert workers.assignable_devices() == ["2", "3"]
    with workers.visible_device("3"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "3"
    assert os.environ["CUDA_VISIBLE_DEVICES"] == "2,3"
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    with workers.visible_device("1"):
        assert os.environ["CUDA_VISIBLE_DEVICES"] == "1"
    assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_a_cpu_is_not_named(monkeypatch):
    assert workers.assignable_devices() == [None]
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with workers.visible_device(None):
        assert "CUDA_VISIBLE_DEVICES" not in os.environ


def test_memory_of_gpus_is_left_to_the_processes_unless_the_user_says_otherwise(monkeypatch):
    monkeypatch.setenv("XLA_PYTHON_CLIENT_PREALLOCATE", "true")
    workers.share_devices()
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "true"
    monkeypatch.delenv("XLA_PYTHON_CLIENT_PREALLOCATE")
    workers.share_devices()
    assert os.environ["XLA_PYTHON_CLIENT_PREALLOCATE"] == "false"
