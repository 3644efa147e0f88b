"""The dispatcher of the benchmarks, how they take turns, and the table of the loss benchmark."""

import functools

import pytest

from experiments import benchmark, benchmarks
from experiments.benchmarks import loss


def test_loss_benchmark_prints_a_row_a_size(capsys):
    benchmark.main(["loss", "--sizes=4x3,8x5", "--seconds=0.01"])
    printed = capsys.readouterr().out
    assert "| 4 x 3 |" in printed
    assert "| 8 x 5 |" in printed
    assert "Geometric mean" in printed


def test_table_shows_the_ratio_and_its_geometric_mean():
    rows = {
        (2, 3): {"optax": [1e-6], "dm_jax": [2e-6]},
        (4, 3): {"optax": [2e-6], "dm_jax": [1e-6]},
    }
    lines = loss.table(rows).splitlines()
    assert lines[2] == "| 2 x 3 | 1 | 2 | 2.00 |"
    assert lines[-1] == "Geometric mean of the ratios: 1.00"


def test_an_unknown_benchmark_names_the_nearest():
    with pytest.raises(SystemExit, match="did you mean 'loss'"):
        benchmark.main(["lost"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--batch=0"], "argument --batch: must be at least 1, got 0"),
        (["data", "--images=0"], "argument --images: must be at least 1, got 0"),
        (["model", "--dtype=foo"], "argument --dtype: invalid choice: 'foo'"),
    ],
)
def test_flags_that_cannot_be_meant(arguments, message, capsys):
    with pytest.raises(SystemExit):
        benchmark.main(arguments)
    assert message in capsys.readouterr().err


def test_help_lists_the_benchmarks(capsys):
    benchmark.main([])
    assert "Benchmarks: data, loss, model, retrieval, train" in capsys.readouterr().out


def test_turns_change_their_order_and_the_first_is_not_timed():
    calls, now = [], iter(range(1000))
    contenders = {name: functools.partial(calls.append, name) for name in "abc"}
    times = benchmarks.in_turns(contenders, rounds=20, clock=lambda: next(now))
    assert times == {name: [1] * 20 for name in "abc"}
    rounds = [tuple(calls[i : i + 3]) for i in range(0, len(calls), 3)]
    assert len(rounds) == 21
    assert all(sorted(turn) == ["a", "b", "c"] for turn in rounds)
    assert len(set(rounds)) == 6


def test_turns_go_on_until_the_time_is_over(monkeypatch):
    seconds = iter(range(1000))
    monkeypatch.setattr("time.perf_counter", lambda: next(seconds))
    times = benchmarks.in_turns({"a": lambda: None}, rounds=3, seconds=10, clock=lambda: 0.0)
    assert len(times["a"]) == 3 + 9  # after the third, looks at 1, 2 ... 9, and ends at 10
