"""Searches on the validation split: fair, complete, and never on the test set."""

import dataclasses
import math
import pathlib
import re
from concurrent.futures import ThreadPoolExecutor

import pytest

from configs import digits
from dm_jax import train
from dm_jax.train import build, weight_profile
from experiments import reproduce
from experiments.progress import ProgressBar
from experiments.tables import (
    cells,
    local,
    results_file,
    search,
    table_specs,
    tuning_file,
    workers,
)
from experiments.tables.result import Result


def test_the_default_of_the_digits_is_what_was_chosen_on_validation():
    searches = tuning_file.read("experiments/results/digits").values()
    (found,) = [s for s in searches if (s.row, s.column) == ("DM", "sym_0.4")]
    assert found.chosen == train.Config.parse(digits.get_config()).loss.parameters


def test_the_documented_short_search_compares_with_the_committed_one():
    text = pathlib.Path("docs/reproducing.md").read_text(encoding="utf-8")
    short, score, lam, beta, best = re.search(
        r"choice for digits is (lambda \d+, beta \d+), .*? accuracy is ([\d.]+); it chose lambda\s"
        r"([\d.]+), beta (\d+) \(([\d.]+)\)",
        text,
        re.DOTALL,
    ).groups()
    searches = tuning_file.read("experiments/results/digits").values()
    (found,) = [s for s in searches if (s.row, s.column) == ("DM", "sym_0.4")]
    scores = {f"lambda {t['lam']:g}, beta {t['beta']:g}": s for t, s in found.tried}
    assert (f"{scores[short]:.1f}", f"{max(scores.values()):.1f}") == (score, best)
    assert found.chosen == {"lam": float(lam), "beta": float(beta)}


def test_a_pair_that_has_run_without_a_search_is_not_searched(tmp_path):
    spec, pairs, path = table_specs.get("digits"), [("DM", "sym_0.4")], tmp_path / "results.jsonl"
    search.check(spec, pairs, tmp_path)
    done = results_file.read("experiments/results/digits/results.jsonl")
    results_file.append(path, next(r for r in done if r.row == "CCE"))
    search.check(spec, pairs, tmp_path)
    results_file.append(path, next(r for r in done if r.key[:3] == ("digits", "DM", "sym_0.4")))
    with pytest.raises(ValueError, match=r"holds DM, sym_0\.4, seed 1, which ran without a search"):
        search.check(spec, pairs, tmp_path)


def test_a_search_that_is_not_used_is_said(capsys):
    reproduce._note_unused([])
    assert not capsys.readouterr().out
    reproduce._note_unused({("GCE", "clean"), ("DM", "clean")})
    assert "parameters searched for DM at clean, GCE at clean\n" in capsys.readouterr().out


def test_searches_that_end_at_once_are_all_kept(tmp_path):
    def a_search(row):
        return tuning_file.ParameterSearch(
            "digits", row, "clean", {"beta": 1.0}, [({"beta": 1.0}, 50.0)], [1]
        )

    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda n: tuning_file.add(tmp_path, str(n), a_search(str(n))), range(20)))
    assert tuning_file.read(tmp_path) == {str(n): a_search(str(n)) for n in range(20)}


def test_a_search_never_looks_at_the_test_set(tmp_path, monkeypatch):
    spec = dataclasses.replace(
        table_specs.get("digits"), scale=0.01, grids={"DM": {"beta": (1.0, 8.0)}}
    )
    seen = []
    original = local.run_all

    def spy(*arguments):
        for cell, summary in original(*arguments):
            seen.append(summary)
            yield cell, summary

    monkeypatch.setattr(local, "run_all", spy)
    monkeypatch.setattr(search, "SEARCH_SEEDS", (1,))
    found = search.run(spec, [("DM", "sym_0.4")], tmp_path, ProgressBar(quiet=True))
    assert found["DM", "sym_0.4"].chosen["beta"] in (1.0, 8.0)
    assert len(seen) == 2
    assert found["DM", "sym_0.4"].data == seen[0].data
    assert all(summary.curve("validation_accuracy") for summary in seen)
    assert not any("test_accuracy" in row for summary in seen for row in summary.rows)
    # What is known is not searched again, and a plan goes by it.
    assert search.finished(spec, [("DM", "sym_0.4")], tmp_path) == found
    assert search.missing_candidates(spec, [("DM", "sym_0.4")], tmp_path) == []
    assert search.run(spec, [("DM", "sym_0.4")], tmp_path, ProgressBar()) == found
    assert len(seen) == 2


def test_a_candidate_trains_on_four_fifths_and_is_judged_by_clean_labels(tmp_path):
    spec, pair = table_specs.get("digits"), ("DM", "sym_0.4")
    (candidate, *others) = search.missing_candidates(spec, [pair], tmp_path)
    assert {other.seed for other in others} == {1, 2}
    assert len(others) + 1 == 2 * len(search.candidates(spec.grid(*pair)))
    built = build.experiment(candidate.config)
    true, held_out = built.dataset.train.labels, built.validation_corruption.kept
    assert len(held_out) == pytest.approx(len(true) / 5, abs=5)  # stratified
    assert (built.train_labels[held_out] == true[held_out]).all()
    assert (built.train_labels != true).mean() == pytest.approx(0.8 * 0.4, abs=0.02)


def a_summary(*accuracies, profile=()):
    """Of a run with these validation accuracies, and better ones on the test set."""
    rows = [
        {"step": 10 * (i + 1), "validation_accuracy_given": accuracy, "test_accuracy": 0.99}
        for i, accuracy in enumerate(accuracies)
    ]
    return train.Summary(10, 10, rows, "", "digits", list(profile), 0.4, 1.0, "cpu")


def test_the_best_mean_of_the_final_accuracies_on_validation_is_chosen(tmp_path, monkeypatch):
    """Not the best seed, not the best step, and not a candidate that diverged."""
    grids = {"GCE": {"q": (0.3, 0.5, 0.7, 0.9)}}
    changes = "train.batch_size=64"
    spec = dataclasses.replace(table_specs.get("digits"), grids=grids, changes=changes)
    outcomes = {
        (0.3, 1): a_summary(0.9, 0.4),
        (0.3, 2): a_summary(0.9, 0.4),
        (0.5, 1): a_summary(0.6, profile=[0.5]),
        (0.5, 2): a_summary(0.5, profile=[0.5]),
        (0.7, 1): a_summary(0.8),
        (0.7, 2): a_summary(0.1),
        (0.9, 1): a_summary(0.7),
        (0.9, 2): train.NonFiniteLossError("step 3"),
    }

    def run_all(wanted, folder, progress):
        for cell in wanted:
            yield cell, outcomes[cell.config.loss.parameters["q"], cell.seed]

    monkeypatch.setattr(local, "run_all", run_all)
    pair = ("GCE", "clean")
    found = search.run(spec, [pair], tmp_path, ProgressBar(quiet=True))[pair]
    assert found.chosen == {"q": 0.5}
    scores = [({"q": 0.5}, 55.0), ({"q": 0.7}, 45.0), ({"q": 0.3}, 40.0), ({"q": 0.9}, 35.0)]
    assert found.ranked == [(parameters, pytest.approx(score)) for parameters, score in scores]
    # What a later result, or a job of a cluster, is compared with.
    assert (found.scale, found.changes, found.seeds) == (1.0, changes, [1, 2])
    assert found.weight_profile == [0.5]
    # Of another length or grid it is another search.
    for other in ({"scale": 2.0}, {"grids": {"GCE": {"q": (0.3, 0.5, 0.7)}}}):
        assert search.finished(dataclasses.replace(spec, **other), [pair], tmp_path) == {}


def test_several_candidates_at_once_are_said_as_they_end(tmp_path, monkeypatch, capsys):
    """In a folder that is not that of the cells."""
    spec = dataclasses.replace(table_specs.get("digits"), grids={"GCE": {"q": (0.3, 0.7)}})
    asked = []

    def run_all(wanted, folder, progress, *, at_once):
        asked.append((folder, at_once))
        for cell in wanted:
            yield cell, a_summary(cell.config.loss.parameters["q"])

    monkeypatch.setattr(workers, "run_all", run_all)
    pair = ("GCE", "clean")
    found = search.run(spec, [pair], tmp_path, ProgressBar(quiet=True), at_once=2)
    assert found[pair].chosen == {"q": 0.7}
    assert asked == [(tmp_path / "tuning", 2)]
    said = capsys.readouterr().out.splitlines()
    assert len(said) == 4
    assert said[0] == 'GCE, clean, {"q": 0.3}, seed 1: 30.0 on validation'


def test_two_searches_at_the_same_time_do_not_fail_each_other(tmp_path, monkeypatch):
    """What the other one trains is read when it has finished; what it still trains is missing."""
    spec = dataclasses.replace(table_specs.get("digits"), grids={"GCE": {"q": (0.3, 0.7)}})
    in_use, asked = [0.7], []

    def run_all(wanted, folder, progress):
        asked.append(len(wanted))
        for cell in wanted:
            q = cell.config.loss.parameters["q"]
            busy = train.WorkdirInUseError(f"another process trains in q={q}")
            yield cell, busy if q in in_use else a_summary(q)
        in_use[:] = later.pop()

    monkeypatch.setattr(local, "run_all", run_all)
    pair = ("GCE", "clean")
    later = [[0.7], [0.7]]
    with pytest.warns(UserWarning, match=r"did not finish: .* another process trains in q=0\.7$"):
        assert not search.run(spec, [pair], tmp_path, ProgressBar(quiet=True))
    later = [[], []]
    found = search.run(spec, [pair], tmp_path, ProgressBar(quiet=True))
    assert found[pair].chosen == {"q": 0.7}
    assert asked == [4, 2, 4, 2]


def test_a_scheme_that_was_searched_and_edited_since_is_refused(tmp_path, monkeypatch):
    spec, pair = table_specs.get("digits"), ("GCE", "clean")
    found = tuning_file.ParameterSearch(
        "digits", *pair, {"q": 0.5}, [({"q": 0.5}, 90.0)], [1], weight_profile=[0.5]
    )
    tuning_file.add(tmp_path, search._name(spec, pair), found)
    monkeypatch.setattr(weight_profile, "profile", lambda loss: [loss.parameters["q"]])
    search.check(spec, [pair], tmp_path)
    monkeypatch.setattr(weight_profile, "profile", lambda loss: [2 * loss.parameters["q"]])
    with pytest.raises(ValueError, match="has changed since the search for GCE at clean"):
        search.check(spec, [pair], tmp_path)


def test_a_cell_that_failed_may_be_searched(tmp_path):
    failed = Result(
        table="digits", row="DM", column="sym_0.4", seed=1, status="failed", error="killed",
        final=math.nan, best=math.nan,
    )  # fmt: skip
    results_file.append(tmp_path / "results.jsonl", failed)
    search.check(table_specs.get("digits"), [("DM", "sym_0.4")], tmp_path)


def test_of_equal_scores_the_first_of_the_grid_is_chosen(tmp_path, monkeypatch):
    """Whichever run ends first."""
    grids = {"GCE": {"q": (0.3, 0.7)}}
    spec = dataclasses.replace(table_specs.get("digits"), grids=grids)

    def run_all(wanted, folder, progress):
        for cell in reversed(wanted):
            yield cell, train.NonFiniteLossError("step 3")

    monkeypatch.setattr(local, "run_all", run_all)
    found = search.run(spec, [("GCE", "clean")], tmp_path, ProgressBar(quiet=True))
    assert found["GCE", "clean"].chosen == {"q": 0.3}


def test_a_search_goes_on_without_what_cannot_be_run(tmp_path, monkeypatch):
    grids = {"DM": {"beta": (1.0, 8.0)}, "GCE": {"q": (0.3, 0.7)}}
    spec = dataclasses.replace(table_specs.get("digits"), grids=grids)

    def run_all(wanted, folder, progress):
        for cell in wanted:
            lost = cell.row.startswith("DM") and cell.seed == 2
            yield cell, OSError("disk full") if lost else train.NonFiniteLossError("step 3")

    monkeypatch.setattr(local, "run_all", run_all)
    pairs = [("DM", "clean"), ("GCE", "clean"), ("CCE", "clean")]
    with pytest.warns(UserWarning, match=r"DM, clean, {.*}, seed 2: OSError: disk full"):
        found = search.run(spec, pairs, tmp_path, ProgressBar(quiet=True))
    assert found.keys() == {("GCE", "clean")}
    assert search.finished(spec, pairs, tmp_path) == found


def test_parameters_are_replaced_and_the_rest_kept():
    config = table_specs.get("digits").cell_config("DM", "clean", 1)
    changed = cells.with_parameters(config, {"beta": 3.0})
    assert changed.loss.parameters == config.loss.parameters | {"beta": 3.0}
