"""The table of the networks: one row for each, and a name that is not known."""

import pytest

from experiments import benchmark


def test_a_row_has_the_size_and_the_speed(capsys):
    benchmark.main(["model", "--names=mlp", "--batch=2", "--seconds=0"])

    cells = capsys.readouterr().out.splitlines()[-1].strip("| ").split(" | ")
    assert cells[:4] == ["mlp", "100", "826", "0.000816M"]
    milliseconds, examples_per_second = map(float, cells[4:])
    assert examples_per_second == pytest.approx(2000 / milliseconds, rel=0.01)


def test_an_unknown_network_is_named_with_the_nearest(capsys):
    with pytest.raises(SystemExit):
        benchmark.main(["model", "--names=resnet444"])

    assert "did you mean 'resnet44'" in capsys.readouterr().err
