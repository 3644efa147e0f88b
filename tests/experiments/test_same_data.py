"""Results of different data are not mixed in one workdir."""

import dataclasses

import numpy as np
import pytest
from absl import flags
from absl.testing import flagsaver

from dm_jax import data, npz
from dm_jax.train import weight_profile
from experiments import reproduce, tune
from experiments.tables import results_file, same_data, table_flags, table_specs, tuning_file
from experiments.tables import search as search_lib
from experiments.tables.cells import Cell, of_table
from experiments.tables.result import Result
from experiments.tables.tuning_file import ParameterSearch

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
    config = table_specs.get("digits").cell_config(row, "clean", seed)
    of_own = dataclasses.replace(config.data, name=NAME, data_dir=str(folder))
    return Cell("digits", row, "clean", seed, dataclasses.replace(config, data=of_own))


def fingerprint(folder):
    return data.load(NAME, data_dir=str(folder)).fingerprint


def result(of, **changes):
    fields = {"final": 50.0, "best": 50.0, "data": fingerprint(of), "table": "digits", "seed": 1}
    config = {"data": {"name": NAME}}
    return Result(**{**fields, "row": "CCE", "column": "clean", "config": config, **changes})


def result_of(of, **changes):
    """The result of a cell."""
    fields = {"table": of.table, "row": of.row, "column": of.column, "seed": of.seed}
    accuracies = {"final": 50.0, "best": 50.0}
    config = {"config": of.recorded_config, "config_hash": of.config_hash}
    return Result(**fields, **accuracies, **config, **changes)


def search(of):
    chosen = {"q": 0.5}
    tried = [(chosen, 90.0)]
    return ParameterSearch("digits", "GCE", "clean", chosen, tried, [1], data=fingerprint(of))


def test_the_same_data_may_be_elsewhere(folders):
    a, b = folders
    same_data.check([cell(a)], [result(a)], [search(a)])
    same_data.check([], [result(a)], [search(b)])
    for other in ({"table": "5"}, {"config": {"data": {"name": "digits"}}}):
        same_data.check([cell(b)], [result(a, **other)], [])


def test_seeds_from_before_fingerprints_were_recorded_get_no_others(folders):
    a, _ = folders
    old = result(a, data="")
    same_data.check([cell(a, seed=1), cell(a, row="GCE")], [old], [])
    with pytest.raises(ValueError, match="but the result of CCE at clean is of data not recorded"):
        same_data.check([cell(a, seed=1), cell(a, seed=2)], [old], [])
    same_data.check([cell(a, seed=2)], [dataclasses.replace(old, status="failed")], [])


def test_other_data_are_refused(folders):
    a, b = folders
    message = rf"{NAME} has fingerprint {fingerprint(b)[:12]} now, but the result of CCE at clean "
    with pytest.raises(ValueError, match=rf"{message}.*{fingerprint(a)[:12]}; use another --work"):
        same_data.check([cell(b, "GCE")], [result(a)], [])
    with pytest.raises(ValueError, match="the search for GCE at clean is of data"):
        same_data.check([cell(b, "GCE")], [], [search(a)])


def test_data_that_are_not_there_are_not_compared(folders, tmp_path):
    same_data.check([cell(tmp_path / "nowhere")], [result(folders[0])], [])


def test_streamed_data_are_told_apart_in_words(monkeypatch):
    monkeypatch.setattr(same_data, "_fingerprint", lambda *_: "mars, 8 images")
    (of_mars,) = of_table(table_specs.get("4"), [("CCE", "MARS")], {}, seeds=[2])
    earlier = result_of(of_mars, data="mars, 9 images")
    message = "mars has fingerprint mars, 8 images now, .* of data of fingerprint mars, 9 images;"
    with pytest.raises(ValueError, match=message):
        same_data.check([of_mars], [earlier], [])


def test_a_scheme_is_compared_at_the_parameters_that_were_used(folders, monkeypatch):
    monkeypatch.setattr(weight_profile, "profile", lambda loss: [loss.parameters["q"]])
    of_gce, found = cell(folders[0], "GCE"), search(folders[0])
    same_data.check_schemes([of_gce], [], [dataclasses.replace(found, weight_profile=[0.5])])
    other = dataclasses.replace(found, weight_profile=[0.9])
    with pytest.raises(ValueError, match="has changed since the search for GCE at clean"):
        same_data.check_schemes([of_gce], [], [other])
    same_data.check_schemes([of_gce], [], [dataclasses.replace(other, table="1")])


def test_a_scheme_that_cannot_be_created_is_not_compared(folders, monkeypatch):
    """Its run will say so."""

    def fails(loss):
        raise ValueError("unknown parameter")

    monkeypatch.setattr(weight_profile, "profile", fails)
    known = dataclasses.replace(search(folders[0]), weight_profile=[0.5])
    same_data.check_schemes([cell(folders[0], "GCE")], [], [known])


def test_data_are_loaded_for_what_is_left_and_if_that_takes_no_preparation(folders):
    own, digits = cell(folders[0]), table_specs.get("digits").cell_config("CCE", "clean", 1)
    other = dataclasses.replace(own, config=digits)
    assert same_data.at_hand([own, other], []) == [own]
    assert same_data.at_hand([own, other], [other]) == [own, other]


def flags_for(data_dir, row, workdir):
    flags.FLAGS.mark_as_parsed()
    chosen = {"table": "digits", "rows": [row], "columns": ["clean"], "seeds": 1}
    own = f"data.name={NAME},data.data_dir={data_dir}"
    return flagsaver.flagsaver(**chosen, set=own, workdir=str(workdir))


def test_a_finished_table_is_not_taken_for_that_of_other_data(folders, tmp_path):
    a, b = folders
    with flags_for(a, "CCE", tmp_path):
        spec = table_flags.spec()
        (of_a,) = of_table(spec, [("CCE", "clean")], {}, seeds=[1])
        results_file.append(tmp_path / "results.jsonl", result_of(of_a, data=fingerprint(a)))
        reproduce._check_before_a_search(spec, [("CCE", "clean")], [], tmp_path)
    other, message = flags_for(b, "CCE", tmp_path), "the result of CCE at clean is of data"
    with other, pytest.raises(ValueError, match=message):
        reproduce.reproduce(tmp_path)


def test_what_trains_after_a_search_is_compared_before_it(folders, tmp_path, monkeypatch):
    a, b = folders
    path = tmp_path / "results.jsonl"
    profile = {"weight_profile": [0.5]}
    with flags_for(b, "CCE", tmp_path):
        spec = table_flags.spec()
        (of_b,) = of_table(spec, [("CCE", "clean")], {}, seeds=[1])
    results_file.append(path, dataclasses.replace(result_of(of_b, data=fingerprint(a)), **profile))
    monkeypatch.setattr(weight_profile, "profile", lambda loss: [0.5])
    with pytest.raises(ValueError, match="the result of CCE at clean is of data"):
        search_lib.check(spec, [], tmp_path, cells=[of_b])
    search_lib.check(spec, [], tmp_path, cells=[of_b], compare_data=False)
    monkeypatch.setattr(weight_profile, "profile", lambda loss: [0.9])
    with pytest.raises(ValueError, match="has changed since the result for CCE at clean"):
        search_lib.check(spec, [], tmp_path, cells=[of_b], compare_data=False)


def test_a_finished_search_is_not_taken_for_that_of_other_data(folders, tmp_path):
    a, b = folders
    with flags_for(a, "GCE", tmp_path):
        tuning_file.add(tmp_path, search_lib._name(table_flags.spec(), ("GCE", "clean")), search(a))
        tune.main()
    other, message = flags_for(b, "GCE", tmp_path), "the search for GCE at clean is of data"
    with other, pytest.raises(ValueError, match=message):
        tune.main()
