"""Progress is a bar on a terminal, else a line for each measurement."""

import io
import sys

from experiments.progress import ProgressBar


class Terminal(io.StringIO):
    """What is written to a terminal."""

    def isatty(self):
        return True


def _on_a_terminal(monkeypatch):
    """A terminal instead of stderr."""
    monkeypatch.setattr(sys, "stderr", Terminal())
    return sys.stderr


def _show(progress):
    """Steps 40 to 50 of 100, with numbers at the end."""
    progress.start(100, 40)
    progress.update(45)
    progress.update(50)
    progress.show(50, {"loss": 1.23456, "accuracy": 0.5})
    progress.show(50, {})
    progress.close()


def test_without_a_terminal_measurements_are_lines(capsys):
    _show(ProgressBar())
    lines = "resuming at step 40 of 100\nstep 50: loss 1.235, accuracy 0.5\n"
    assert capsys.readouterr() == (lines, "")


def test_who_starts_at_the_beginning_resumes_nothing(capsys):
    ProgressBar().start(100, 0)
    assert capsys.readouterr().out == ""


def test_a_quiet_bar_has_no_lines(capsys):
    _show(ProgressBar(quiet=True))
    assert capsys.readouterr() == ("", "")


def test_on_a_terminal_the_bar_has_the_steps_and_the_numbers(monkeypatch, capsys):
    terminal = _on_a_terminal(monkeypatch)
    _show(ProgressBar(quiet=True))
    shown = terminal.getvalue()
    assert "40/100" in shown
    assert "50/100" in shown
    assert "loss 1.235, accuracy 0.5" in shown
    assert capsys.readouterr().out == ""


def test_a_bar_that_is_closed_may_start_again(monkeypatch, capsys):
    terminal = _on_a_terminal(monkeypatch)
    progress = ProgressBar()
    progress.start(100, 0)
    progress.close()
    progress.show(100, {"accuracy": 0.5})
    assert capsys.readouterr().out == "step 100: accuracy 0.5\n"
    progress.start(30, 0)
    progress.close()
    assert "0/30" in terminal.getvalue()
