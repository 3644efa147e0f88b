"""Results of different data are not mixed in one workdir."""

import dataclasses

import numpy as np
import pytest

from dm_jax import data, npz
from experiments import same_data, table_specs
from experiments.cells import Cell
from experiments.results_file import Result
from experiments.searches import ParameterSearch

NAME = "npz:own.npz"


@pytest.fixture
def folders(tmp_path):
    """Two folders whose own.npz differ in one label."""
    for folder, last in (("a", 0), ("b", 1)):
        y_train = np.array([0, 1, 0, last])
        arrays = {"x_train": np.eye(4), "y_train": y_train, "x_test": np.eye(4), "y_test": y_train}
        npz.write(tmp_path / folder / "own.npz", arrays)
    return tmp_path / "a", tmp_path / "b"


def cell(folder, row="CCE", seed=2):
    config = table_specs.get("digits").cell(row, "clean", seed)
    of_own = dataclasses.replace(config.data, name=NAME, data_dir=str(folder))
    return Cell("digits", row, "clean", seed, dataclasses.replace(config, data=of_own))


def fingerprint(folder):
    return data.load(NAME, data_dir=str(folder)).fingerprint


def result(of, **changes):
    fields = {"final": 50.0, "best": 50.0, "data": fingerprint(of), "table": "digits", "seed": 1}
    config = {"data": {"name": NAME}}
    return Result(**{**fields, "row": "CCE", "column": "clean", "config": config, **changes})


def search(of):
    chosen = {"q": 0.5}
    tried = [(chosen, 90.0)]
    return ParameterSearch("digits", "GCE", "clean", chosen, tried, [1], data=fingerprint(of))


def test_the_same_data_may_be_elsewhere(folders):
    a, b = folders
    same_data.check([cell(a)], [result(a)], [search(a)])
    same_data.check([], [result(a)], [search(b)])
    for other in ({"data": ""}, {"table": "5"}, {"config": {"data": {"name": "digits"}}}):
        same_data.check([cell(b)], [result(a, **other)], [])


def test_other_data_are_refused(folders):
    a, b = folders
    message = rf"{NAME} has fingerprint {fingerprint(b)[:12]} now, but the result of CCE at clean "
    with pytest.raises(ValueError, match=rf"{message}.*{fingerprint(a)[:12]}; use another --work"):
        same_data.check([cell(b, "GCE")], [result(a)], [])
    with pytest.raises(ValueError, match="the search for GCE at clean is of data"):
        same_data.check([cell(b, "GCE")], [], [search(a)])


def test_data_that_are_not_there_are_not_compared(folders, tmp_path):
    same_data.check([cell(tmp_path / "nowhere")], [result(folders[0])], [])
