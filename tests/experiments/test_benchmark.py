"""The dispatcher of the benchmarks, and the table of the loss benchmark."""

import pytest

from experiments import benchmark
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


def test_help_lists_the_benchmarks(capsys):
    benchmark.main([])
    assert "loss" in capsys.readouterr().out
