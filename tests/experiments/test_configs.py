"""Each table's config builds its own network, takes real steps and writes a result."""

import dataclasses

import numpy as np
import pytest

from configs import own
from dm_jax import data, train
from experiments.progress import ProgressBar
from experiments.tables import cells, local, record, table_specs

# Table -> a cell whose noise needs no superclasses, and the classes of its data.
CELLS = {
    "1": ("DM(lambda=0.5)", "sym_0.4", 100),
    "2": ("DM(lambda=0.5)", "sym_0.4", 10),
    "5": ("DM", "noise_0.4", 2),
    "7": ("Nesterov (lr 0.01)", "DM", 10),
    "8": ("0.4", "DM+L2+Dropout", 10),
    "9": ("DM(lambda=0.5,beta=12)", "noise_0.4", 10),
    "cifar_n": ("DM", "cifar100n_fine", 100),
}


def examples(path, table, classes):
    """A small data set in CIFAR's shape, or IMDB's, as a user would bring it."""
    rng = np.random.default_rng(0)
    arrays = {}
    for split, count in (("train", max(2 * classes, 16)), ("test", classes)):
        pixels = rng.integers(0, 256, (count, 32, 32, 3), np.uint8)
        vectors = rng.normal(size=(count, 100)).astype(np.float32)
        arrays[f"x_{split}"] = vectors if table == "5" else pixels
        arrays[f"y_{split}"] = np.arange(count) % classes
    np.savez(path, **arrays)
    return path


@pytest.fixture
def human_labels(monkeypatch):
    """Gives every data set labels by people, which a file of a user's own cannot have."""

    original = data.load

    def load(name, **options):
        loaded = original(name, **options)
        return dataclasses.replace(loaded, human_labels={"fine": loaded.train.labels[::-1].copy()})

    monkeypatch.setattr(data, "load", load)


@pytest.mark.long
@pytest.mark.usefixtures("human_labels")
@pytest.mark.parametrize("table", CELLS)
def test_steps_of_the_tables_network(tmp_path, table):
    row, column, classes = CELLS[table]
    path = examples(tmp_path / "examples.npz", table, classes)
    changes = f"data.name=npz:{path},train.batch_size=8,train.evaluate_batch=8,steps=4"
    changes += ",parallel.devices=1"
    spec = dataclasses.replace(table_specs.get(table), changes=changes)
    cell = cells.Cell(table, row, column, 1, spec.cell_config(row, column, 1), 1.0, changes)
    ((_, summary),) = local.run_all([cell], tmp_path, ProgressBar(quiet=True))
    if isinstance(summary, Exception):
        raise summary
    result = record.result(cell, summary)
    assert (result.status, result.changes) == ("ok", changes)
    assert np.isfinite(summary.final("train_loss"))
    assert 0 <= result.final <= 100


def test_your_own_arrays_train_as_they_are(tmp_path):
    digits = data.load("digits")
    arrays = {
        f"{kind}_{split}": array
        for split in ("train", "test")
        for kind, array in zip("xy", vars(getattr(digits, split)).values(), strict=True)
    }
    np.savez(tmp_path / "own.npz", **arrays)
    arguments = f"data.data_dir={tmp_path},train.length=2 epochs,parallel.devices=1"
    config = train.Config.parse(own.get_config(arguments))
    summary = train.run(config, tmp_path / "run")
    assert summary.actual_rate == 0
    assert len(summary.curve("validation_accuracy")) == 2
    assert summary.final("validation_accuracy") > 0.2
