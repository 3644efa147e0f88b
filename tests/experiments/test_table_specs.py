"""Every table's cells have configs, named as the published tables name them."""

import dataclasses

import numpy as np
import pytest

from experiments import paper
from experiments.tables import table_specs


@pytest.mark.parametrize("number", paper.names())
def test_every_published_cell_of_the_authors_has_a_config(number):
    spec = table_specs.get(number)
    for row, column in paper.table(number).cells:
        assert spec.has(row, column), (row, column)
        spec.cell_config(row, column, seed=1)


@pytest.mark.parametrize("name", ["digits", "cifar_n", "figure10", "figure11"])
def test_the_other_tables_have_configs(name):
    spec = table_specs.get(name)
    for row in spec.rows:
        for column in spec.columns:
            spec.cell_config(row, column, seed=1)


def test_settings_of_the_paper():
    dm = table_specs.get("5").cell_config("DM", "noise_0.4", 3)
    assert (dm.loss.parameters, dm.loss.normalization) == ({"lam": 0.0, "beta": -0.33}, "batch")
    assert (dm.optimizer.weight_decay, dm.train.batch_size, dm.seed) == (0.002, 250, 3)
    assert table_specs.get("5").cell_config("MAE", "imbalance_10", 1).noise.ratio == 10
    assert table_specs.get("1").cell_config("GCE-DN", "clean", 1).loss.normalization == "batch"
    assert table_specs.get("1").cell_config("GCE", "clean", 1).loss.normalization == "none"
    adam = table_specs.get("7").cell_config("Adam (lr 0.005, delta 1)", "DM", 1)
    assert (adam.optimizer.name, adam.optimizer.epsilon) == ("caffe_adam", 1.0)
    assert adam.schedule.boundaries == ("15000 steps", "22000 steps")
    dropout = table_specs.get("8").cell_config("0.4", "DM+Dropout", 1)
    assert (dropout.model.dropout, dropout.optimizer.weight_decay) == (0.2, 0.0)


def test_a_scaled_table_is_shorter_and_so_is_its_schedule():
    spec = dataclasses.replace(table_specs.get("8"), scale=0.01, changes="model=resnet20")
    config = spec.cell_config("0.4", "L2", 1)
    assert (config.train.length, config.model.name) == ("300 steps", "resnet20")
    assert config.schedule.boundaries == ("150 steps", "220 steps")
    assert config.train.evaluate_every == "15 steps"


@pytest.mark.parametrize("scale", [0.5, 0.25, 0.2, 0.15, 0.1, 0.0123])
@pytest.mark.parametrize("name", ["1", "5", "9", "digits"])
def test_a_log_falls_on_every_evaluation_of_a_scaled_table(name, scale):
    spec = dataclasses.replace(table_specs.get(name), scale=scale)
    train = spec.cell_config(*table_specs.select(spec, ["CCE"], ["*"])[0], 1).train
    log, evaluate = (int(text.split()[0]) for text in (train.log_every, train.evaluate_every))
    assert evaluate % log == 0
    assert evaluate / 20 <= log


def test_patterns_choose_rows_and_columns():
    spec = table_specs.get("1")
    assert table_specs.select(spec, ["DM(lambda=0.5)"], ["sym_*"]) == [
        ("DM(lambda=0.5)", f"sym_{rate}") for rate in (0.2, 0.4, 0.6)
    ]
    rows = {row for row, _ in table_specs.select(spec, ["DM*"], ["clean"])}
    assert rows == {"DM(beta=0)", "DM(lambda=0)", "DM(lambda=0.5)", "DM(lambda=1)"}


def test_only_the_published_cells_of_table_9():
    pairs = table_specs.select(table_specs.get("9"), ["*"], ["*"])
    assert sorted(pairs) == sorted(paper.table(9).cells)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: table_specs.get("10"), "unknown table '10'"),
        (
            lambda: table_specs.select(
                table_specs.get("9"), ["DM(lambda=2,beta=24)"], ["noise_0.8"]
            ),
            r"table 9 has no cell at row DM\(lambda=2,beta=24\) and column noise_0.8",
        ),
        (lambda: table_specs.get("5").cell_config("CC", "noise_0.4", 1), "did you mean 'CCE'"),
        (
            lambda: table_specs.get("5").cell_config("CCE", "noise_.4", 1),
            "did you mean 'noise_0.4'",
        ),
        (
            lambda: table_specs.select(table_specs.get("5"), ["DN*"], ["*"]),
            r"unknown row of table 5: 'DN\*'",
        ),
    ],
)
def test_unknown_names_give_the_nearest(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_grids_hold_parameters_of_their_method():
    for name in table_specs.names():
        spec = table_specs.get(name)
        searched = [pair for pair in table_specs.select(spec, ["*"], ["*"]) if spec.grid(*pair)]
        assert {name for pair in searched for name in pair} >= spec.grids.keys()
        for row, column in searched:
            config, grid = spec.cell_config(row, column, 1), spec.grid(row, column)
            assert grid.keys() <= config.loss.parameters.keys()
            assert all(np.isfinite(value) for values in grid.values() for value in values)
