"""The result of a cell: which of a run's numbers it holds, under which names."""

import shlex
import subprocess
import sys

import pytest

from dm_jax import train
from experiments import commit
from experiments.tables import cells, record, table_specs


def test_a_result_has_the_numbers_of_its_run():
    """In percent, and curves at the evaluations; probabilities and losses are as they are."""
    windows = [
        {"train_accuracy": 0.5, "train_accuracy_given": 0.4, "train_loss": 2.0},
        {"train_accuracy": 0.7, "train_accuracy_given": 0.6, "train_loss": 1.0},
    ]
    probabilities = [
        {"train_p_clean": 0.3, "train_p_noisy": 0.1},
        {"train_p_clean": 0.8, "train_p_noisy": 0.2},
    ]
    fit = {"fit_accuracy": 0.75, "fit_accuracy_given": 0.65}
    rows = [
        {"step": 10} | windows[0] | probabilities[0],
        {"step": 10, "test_accuracy": 0.9},
        {"step": 20} | windows[1] | probabilities[1],
        {"step": 20, "test_accuracy": 0.8} | fit,
    ]
    result = record.result(_cell(), _summary(rows))
    assert (result.final, result.best, result.status) == (80.0, 90.0, "ok")
    assert result.metrics == {"train_corrupted": 65.0, "train_intact": 75.0, "actual_rate": 40.0}
    assert result.curves == {
        "steps": [10.0, 20.0],
        "test_accuracy": [90.0, 80.0],
        "train_intact": [50.0, 70.0],
        "train_corrupted": [40.0, 60.0],
        "p_clean": [0.3, 0.8],
        "p_noisy": [0.1, 0.2],
        "loss": [2.0, 1.0],
    }
    assert (result.corruption, result.data) == ("c" * 64, "d" * 64)
    assert (result.device, result.seconds) == ("2 x chips", 3.0)


def test_a_curve_that_some_evaluations_lack_is_left_out():
    rows = [
        {"step": 10, "train_loss": 2.0, "test_accuracy": 0.9, "validation_accuracy": 0.8},
        {"step": 20, "test_accuracy": 0.8, "validation_accuracy": 0.7},
    ]
    result = record.result(_cell(), _summary(rows))
    assert result.curves == {"steps": [10.0, 20.0], "test_accuracy": [90.0, 80.0]}
    assert result.metrics == {"validation": 70.0, "actual_rate": 40.0}


def test_a_result_says_what_ran_and_how_to_run_it_again(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["reproduce.py", "--method=Own: method=my:Own"])
    result = record.result(_cell(scale=0.5, changes="model=resnet20"), _summary([]))
    assert result.key == ("digits", "CCE", "sym_0.4", 3)
    assert (result.scale, result.changes, result.weight_profile) == (0.5, "model=resnet20", [0.1])
    assert shlex.split(result.command)[1:] == [
        *("-m", "experiments.reproduce"),
        "--method=Own: method=my:Own",
    ]


@pytest.mark.parametrize("error", [FileNotFoundError("git"), subprocess.CalledProcessError(1, "")])
def test_without_git_or_a_checkout_there_is_no_commit(monkeypatch, error):
    def fails(*_, **__):
        raise error

    monkeypatch.setattr(subprocess, "run", fails)
    assert commit.of_code.__wrapped__() == ""


def _cell(**changes):
    config = table_specs.get("digits").cell_config("CCE", "sym_0.4", 3)
    return cells.Cell("digits", "CCE", "sym_0.4", 3, config, **changes)


def _summary(rows):
    return train.Summary(20, 20, rows, "c" * 64, "d" * 64, [0.1], 0.4, 3.0, "2 x chips")
