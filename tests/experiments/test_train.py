"""The command a person starts: one line at the end, errors without a traceback."""

import os
import subprocess
import sys

import pytest

from configs import digits
from dm_jax import train
from experiments import train as command

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def _train(workdir, *flags, config="configs/digits.py"):
    return _command(
        workdir,
        f"--config={config}",
        *("--config.train.length=40 steps", "--config.parallel.devices=1"),
        *flags,
    )


def _command(workdir, *flags, cwd=_ROOT):
    own = {"JAX_COMPILATION_CACHE_DIR": str(workdir.parent / "cache"), "PYTHONPATH": _ROOT}
    return subprocess.run(
        [sys.executable, "-m", "experiments.train", f"--workdir={workdir}", *flags],
        capture_output=True,
        text=True,
        cwd=cwd,
        env=os.environ | own,
        check=False,
    )


def test_a_run_from_the_command_line_and_again_with_another_config(tmp_path):
    done = _train(tmp_path / "run", config="configs/digits.py:method=GCE,rate=0.2")
    assert done.returncode == 0, done.stderr
    last = done.stdout.splitlines()[-1]
    assert "% wrong training labels (symmetric), GCE(q=0.7): test accuracy" in last
    assert list((tmp_path / "cache").iterdir())
    changed = _train(tmp_path / "run", "--config.seed=3")
    assert changed.returncode == 1
    assert "config.seed: 0 -> 3" in changed.stderr
    assert "Traceback" not in changed.stderr


def test_the_outcome_names_the_end_the_best_and_the_fit():
    rows = [
        {"step": 10, "test_accuracy": 0.9},
        {"step": 20, "test_accuracy": 0.9},
        {"step": 30, "test_accuracy": 0.7, "fit_accuracy": 0.8, "fit_accuracy_given": 0.6},
    ]
    summary = train.Summary(30, 30, rows, "", "digits", [], 0.402, 12.3, "cpu")
    config = train.Config.parse(digits.get_config("method=GCE-DN"))
    assert command.describe(config, summary, "DIR") == (
        "digits with 40.2% wrong training labels (symmetric), GCE-DN(q=0.7): test accuracy 70.0% "
        "at the end, 90.0% at best (step 10); 60.0% of the given training labels and 80.0% of the "
        "true ones fitted; 12.3 s; see DIR"
    )


@pytest.mark.long
def test_a_run_without_a_test_says_what_it_validated(tmp_path):
    held_out = ("--config.data.test=False", "--config.data.validation=0.2")
    assert "): validation accuracy " in _train(tmp_path / "held_out", *held_out).stdout
    untested = _train(tmp_path / "none", held_out[0]).stdout
    assert "): no evaluation; " in untested
    assert not [line for line in untested.splitlines() if line.endswith(": ")]


@pytest.mark.parametrize(
    ("flag", "message"),
    [
        ("--config.parallel.devices=99", "config.parallel.devices is 99, but there are"),
        ("--config.optimizer.name=sdg", "did you mean 'sgd'"),
        ("--config.loss.bet=4", "unknown config key 'bet'. Did you mean \"beta\""),
        ("--config.optimizer.lr=1", "key 'lr'; configs/common.py lists the keys, and arguments of"),
        ("--config=configs/digits.py:methd=DM", "error: unknown config argument 'methd'; did you"),
        ("--workdir=", "--workdir is empty"),
        ("--config=configs/digit.py", "error: there is no config file 'configs/digit.py'"),
    ],
)
def test_bad_values_are_one_line(flag, message, tmp_path):
    failed = _train(tmp_path / "run", flag)
    assert failed.returncode == 1
    assert failed.stderr.strip().splitlines()[-1].startswith("error: ")
    assert message in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not (tmp_path / "run").exists()


def test_a_config_file_that_is_missing(tmp_path):
    """With nothing else on the command line the file is read later than with it."""
    failed = _command(tmp_path / "run", "--config=configs/digit.py")
    assert failed.returncode == 1
    assert failed.stderr.strip() == "error: there is no config file 'configs/digit.py'"


@pytest.mark.long
def test_elsewhere_the_configs_are_those_of_the_package(tmp_path):
    config = "--config=configs/digits.py:steps=9"
    done = _command(tmp_path / "run", config, "--config.parallel.devices=1", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "digits.py").write_text("raise ValueError('the own file')")
    failed = _command(tmp_path / "own", config, cwd=tmp_path)
    assert "the own file" in failed.stderr
