"""Every table's cells have configs, named as the published tables name them."""

import dataclasses
import re

import numpy as np
import pytest

from dm_jax.data import paragraph_vectors
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


@pytest.mark.parametrize(
    ("cell", "what", "steps", "numbers"),
    [
        # Cell; data and network; iterations and boundaries; rate, its factor, L2, batch.
        ("1 CCE clean", "cifar100 resnet44", (30_000, 15_000, 22_000), (0.1, 0.1, 1e-4, 256)),
        ("2 CCE clean", "cifar10 googlenet_32", (30_000, 15_000, 22_000), (0.1, 0.1, 1e-4, 256)),
        ("3 CCE accuracy", "clothing1m resnet50", (20_000, 10_000, 15_000), (0.01, 0.1, 2e-5, 256)),
        (
            "4 CCE MARS",
            "mars inception_v2",
            (50_000, 10_000, 20_000, 30_000, 40_000),
            (0.01, 0.5, 5e-4, 180),
        ),
        ("5 CCE noise_0.0", "imdb mlp", (10_000,), (0.01, 0.1, 0.002, 250)),
        (
            "6 L2 accuracy_mean",
            "cifar100 resnet44",
            (30_000, 15_000, 22_000),
            (0.1, 0.1, 1e-4, 256),
        ),
        ("8 0.0 L2", "vehicles10 resnet44", (30_000, 15_000, 22_000), (0.1, 0.1, 1e-4, 256)),
        ("9 CCE noise_0.2", "cifar10 resnet56", (100_000, 50_000, 73_333), (0.1, 0.1, 1e-4, 256)),
        (
            "figure10 DM(lambda=0,beta=2) clean",
            "cifar10 resnet20",
            (100_000, 50_000, 73_333),
            (0.1, 0.1, 1e-4, 256),
        ),
        (
            "figure11 DM(lambda=0,beta=2) clean",
            "cifar10 resnet56",
            (100_000, 50_000, 73_333),
            (0.1, 0.1, 1e-4, 256),
        ),
    ],
)
def test_the_protocol_of_a_table_is_the_paper_s(cell, what, steps, numbers):
    table, row, column = cell.split()
    config = table_specs.get(table).cell_config(row, column, 1)
    optimizer, schedule = config.optimizer, config.schedule
    assert f"{config.data.name} {config.model.name}" == what
    assert (config.train.length, *schedule.boundaries) == tuple(f"{step} steps" for step in steps)
    found = (optimizer.learning_rate, schedule.factor, optimizer.weight_decay)
    assert (*found, config.train.batch_size) == numbers
    assert (optimizer.name, optimizer.momentum, optimizer.nesterov) == ("sgd", 0.9, False)
    assert config.data.augment == ("none" if table == "5" else "crop_flip")
    if table == "5":
        assert (schedule.name, schedule.gamma, schedule.power) == ("inv", 1e-5, 0.75)
        assert config.model.parameters == {"hidden": (8,)}
    else:
        assert schedule.name == "steps"
    if table in ("3", "4"):
        assert (config.data.resize, config.data.crop) == (256, 224)


def _named_noise(table, condition):
    """The noise that the name of a condition says: kind, rate, imbalance and ratio."""
    if condition in ("accuracy", "accuracy_dn", "MARS", "clean"):
        return "symmetric", 0.0, "none", 1.0
    if table == "cifar_n":
        return f"human:{condition.partition('_')[2]}", 0.0, "none", 1.0
    kind, _, number = condition.rpartition("_")
    if kind == "imbalance":
        return "symmetric", 0.0, "ratio", float(number)
    return "superclass_swap" if kind == "asym" else "symmetric", float(number), "none", 1.0


@pytest.mark.parametrize("table", table_specs.names())
def test_cells_are_what_their_names_say(table):
    spec = table_specs.get(table)
    for row, column in table_specs.select(spec, ["*"], ["*"]):
        method, condition = (column, row) if spec.methods_are_columns else (row, column)
        config = spec.cell_config(row, column, 1)
        if table in ("6", "7"):
            condition = "0.4"
        noise = dataclasses.astuple(dataclasses.replace(config.noise, seed=0))
        kind, rate, imbalance, ratio = _named_noise(table, condition)
        assert noise == (kind, rate, 0, imbalance, ratio), (row, column)
        if table in ("6", "8"):
            parts = {part for part in ("L2", "Dropout") if part in method}
            regularised = config.optimizer.weight_decay, config.model.dropout
            assert regularised == (1e-4 * ("L2" in parts), 0.2 * ("Dropout" in parts)), method
            method = "DM" if method.startswith("DM") else "CCE"
        name, dn = re.match(r"\w+", method)[0], method.endswith("-DN") or column == "accuracy_dn"
        normalised = dn or name == "DM"
        assert config.loss.name == name, (row, column)
        assert config.loss.normalization == ("batch" if normalised else "none"), (row, column)
        for key, number in re.findall(r"(lambda|beta)=([\d.]+)", method):
            found = config.loss.parameters["lam" if key == "lambda" else "beta"]
            assert found == float(number), (row, column)


def test_rows_without_a_beta_in_their_name_have_the_one_chosen_for_them():
    chosen = {
        ("1", "clean"): {"0": 2.0, "0.5": 8.0, "1": 16.0},
        ("2", "clean"): {"0": 2.0, "0.5": 12.0},
    }
    for (table, column), betas in chosen.items():
        spec = table_specs.get(table)
        for lam, beta in betas.items():
            loss = spec.cell_config(f"DM(lambda={lam})", column, 1).loss
            assert loss.parameters == {"lam": float(lam), "beta": beta}
    for table in ("1", "2", "9"):  # weighs all examples alike
        column = table_specs.select(table_specs.get(table), ["DM(beta=0)"], ["*"])[0][1]
        loss = table_specs.get(table).cell_config("DM(beta=0)", column, 1).loss
        assert loss.parameters == {"lam": 0.0, "beta": 0.0}
    published = {0.0: (0.0, 0.9), 0.2: (0.0, -0.52), 0.4: (0.0, -0.33)}
    columns = {f"noise_{rate}": parameters for rate, parameters in published.items()}
    columns |= dict.fromkeys(("imbalance_10", "imbalance_50"), (0.3, 6.5))
    for column, (lam, beta) in columns.items():
        loss = table_specs.get("5").cell_config("DM", column, 1).loss
        assert loss.parameters == {"lam": lam, "beta": beta}


@pytest.mark.parametrize("column", ["CCE", "DM"])
def test_the_optimisers_of_table_7_are_what_their_names_say(column):
    spec = table_specs.get("7")
    for row in spec.rows:
        found = spec.cell_config(row, column, 1).optimizer
        assert found.learning_rate == float(re.search(r"lr ([\d.]+)", row)[1]), row
        if row.startswith("Adam"):
            delta = float(re.search(r"delta ([\d.]+)", row)[1])
            assert (found.name, found.epsilon) == ("caffe_adam", delta)
        else:
            momentum = 0.0 if row.startswith("SGD (") else 0.9
            expected = ("sgd", momentum, row.startswith("Nesterov"))
            assert (found.name, found.momentum, found.nesterov) == expected


def test_the_grids_of_table_1_are_the_values_that_the_paper_tried():
    assert {row: dict(grid) for row, grid in table_specs.get("1").grids.items()} == {
        "DM(lambda=0)": {"beta": (0.5, 1.0, 2.0, 4.0)},
        "DM(lambda=0.5)": {"beta": (4.0, 8.0, 12.0, 16.0)},
        "DM(lambda=1)": {"beta": (8.0, 12.0, 16.0, 20.0)},
    }


def test_table_5_says_of_which_vectors_its_numbers_are():
    used, said = paragraph_vectors.Settings(), table_specs.get("5").our_choices
    for fact in (
        f"{used.dimensions} dimensions",
        f"{used.negatives} negatives",
        f"words from {used.min_count} occurrences on",
        f"{used.epochs} epochs at .05 to 1e-4",
    ):
        assert fact in said
    assert (used.learning_rate, used.final_learning_rate) == (0.05, 1e-4)


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
