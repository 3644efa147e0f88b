"""Cells at the same time that are stopped: by a signal, or by whoever reads their outcomes."""

import contextlib
import multiprocessing
import signal
import types

import pytest

from experiments.progress import ProgressBar
from experiments.tables import workers
from experiments.tables.outcome import StoppedError
from tests.experiments.test_workers import some_cells


class Pretended(workers._Worker):
    """No process: its cells go on until it is stopped; of the first program it then says so."""

    def __init__(self, cells, folder, device):
        self.cells, self.device, self._asked = cells, device, False
        self.outcome, self.sender = multiprocessing.Pipe(duplex=False)
        self._process = types.SimpleNamespace(
            terminate=self.ends, join=lambda: None, exitcode=-signal.SIGTERM
        )

    def ends(self):
        if self.cells[0].row == "CCE":
            self.sender.send(StoppedError(f"{self.name} will resume at step 5 of 9"))
        self.sender.close()


def test_a_stop_asks_all_of_them_and_no_cell_has_failed(tmp_path, monkeypatch):
    """One saves a checkpoint, one is asked before it answers signals, one is never started."""
    started = []

    class LastIsStopped(Pretended):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            started.append(self.name)
            if len(started) == 2:
                signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(workers, "_Worker", LastIsStopped)
    wanted = some_cells("CCE", "CCE-DN") + some_cells("CCE", scale=0.03)
    said = (
        r"^CCE, sym_0\.4, seed 1 will resume at step 5 of 9; CCE-DN, sym_0\.4, seed 1 had not "
        r"started; 1 run not started$"
    )
    with pytest.raises(StoppedError, match=said):
        list(workers.run_all(wanted, tmp_path, ProgressBar(quiet=True), at_once=2))
    assert len(started) == 2


def test_a_stop_between_two_runs_is_not_forgotten(tmp_path, monkeypatch):
    class Ended(Pretended):
        """Has ended well; then the stop comes."""

        def __init__(self, *arguments):
            super().__init__(*arguments)
            self.sender.send([(cell, None) for cell in self.cells])
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(workers, "_Worker", Ended)
    first, second = some_cells("CCE", "CCE-DN")
    ended = workers.run_all([first, second], tmp_path, ProgressBar(quiet=True), at_once=2)
    assert next(ended) == (first, None)
    with pytest.raises(StoppedError, match=r"^1 run not started$"):
        next(ended)


def test_whoever_leaves_early_stops_what_still_runs(tmp_path, monkeypatch):
    started = []

    class FirstEnds(Pretended):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            started.append(self)
            if len(started) == 1:
                self.sender.send([(cell, None) for cell in self.cells])

    monkeypatch.setattr(workers, "_Worker", FirstEnds)
    wanted = some_cells("CCE", "CCE-DN")
    with contextlib.closing(
        workers.run_all(wanted, tmp_path, ProgressBar(quiet=True), at_once=2)
    ) as outcomes:
        next(outcomes)
    assert [worker.sender.closed for worker in started] == [False, True]
