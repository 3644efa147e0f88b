"""What a table would take, without running it."""

import dataclasses
import types

import pytest

from dm_jax.train import parallel
from dm_jax.train.plan import Plan
from experiments.tables import cells, estimate, table_specs
from tests.experiments.test_reproduce import command


def test_a_dry_run_plans_and_runs_nothing(tmp_path):
    """Also with a parameter that only the search will give a value."""
    own = ("--method=Own: method=tests.experiments.test_own_scheme:Plateau", "--grid=Own: knee=0.2")
    rows = ("--rows=GCE,Own", "--columns=clean", "--seeds=2")
    plan = command(tmp_path, "--dry_run", *rows, *own)
    assert plan.returncode == 0, plan.stderr
    assert "10 runs to search parameters on validation" in plan.stdout
    assert plan.stdout.count("2 runs x 40 steps of mlp") == 2
    assert "MiB" in plan.stdout
    assert not (tmp_path / "results.jsonl").exists()


def test_a_plan_says_once_why_cells_cannot_start(tmp_path):
    nowhere = f"--set=data.name=npz:{tmp_path}/missing.npz"
    plan = command(tmp_path, "--rows=CCE", "--columns=clean", "--seeds=2", "--dry_run", nowhere)
    assert plan.returncode == 1
    assert plan.stdout.count("2 runs cannot start: ") == plan.stdout.count("missing.npz") == 1
    assert "runs that cannot start: 2" in plan.stderr


def test_a_plan_goes_on_after_what_cannot_start(monkeypatch):
    there = []
    for changes in ("", "train.batch_size=50"):
        spec = dataclasses.replace(table_specs.get("digits"), scale=0.04, changes=changes)
        there += cells.of_table(spec, [("CCE", "clean")], {}, seeds=(1,))
    monkeypatch.setattr(parallel, "make_mesh", _fail_once(parallel.make_mesh))
    text, failed = estimate.describe(there)
    assert failed == 1
    assert text.splitlines()[0].startswith("1 run cannot start: no such devices (")  # in this file
    assert "1 run x 80 steps of mlp" in text


def test_the_time_of_a_plan_is_that_of_all_its_programs(monkeypatch):
    """Four networks, one after the other, and a population of two; 25 seconds a step."""
    there = []
    for changes, rows in (("model=resnet20", ("CCE", "MAE")), ("", ("CCE",))):
        spec = dataclasses.replace(table_specs.get("digits"), scale=0.01, changes=changes)
        pairs = [(row, "clean") for row in rows]
        there += cells.of_table(spec, pairs, {}, seeds=(1, 2))
    monkeypatch.setattr(estimate, "_measure", lambda group: (25.0, 300 * 2**20))
    alone, together, total = estimate.describe(there)[0].splitlines()
    assert alone == (
        "1 run x 20 steps of resnet20: 8 min 20 s, 300 MiB, 4 times, one after the other "
        "(first: CCE, clean)"
    )
    assert together == "2 runs x 20 steps of mlp: 8 min 20 s, 300 MiB (first: CCE, clean)"
    assert total.startswith("about 41 min 40 s on ")


def test_what_takes_another_time_is_measured_by_itself(monkeypatch):
    """Other data, twice the length, and half as many runs in one program."""
    there = []
    for changes, scale, row, seeds in (
        ("model=resnet20", 0.01, "CCE", 1),
        ("model=resnet20,data.augment=crop_flip", 0.01, "CCE", 1),
        ("model=resnet20", 0.02, "CCE", 1),
        ("", 0.01, "CCE", 2),
        ("", 0.01, "CCE-DN", 1),
    ):
        spec = dataclasses.replace(table_specs.get("digits"), scale=scale, changes=changes)
        there += cells.of_table(spec, [(row, "clean")], {}, seeds=range(1, seeds + 1))
    measured = []
    monkeypatch.setattr(estimate, "_measure", lambda group: measured.append(group) or (10.0, 0))
    lines = estimate.describe(there)[0].splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == [
        "1 run x 20 steps of resnet20",
        "1 run x 20 steps of resnet20",
        "1 run x 40 steps of resnet20",
        "2 runs x 20 steps of mlp",
        "1 run x 20 steps of mlp",
    ]
    assert len(measured) == 5
    assert lines[-1].startswith("about 20 min 0 s on ")  # of 1200 seconds


def test_all_runs_of_a_program_that_cannot_start_are_counted(monkeypatch):
    spec = dataclasses.replace(table_specs.get("digits"), scale=0.01)
    there = cells.of_table(spec, [("CCE", "clean")], {}, seeds=(1, 2))
    monkeypatch.setattr(estimate, "_measure", _fail_once(None))
    text, failed = estimate.describe(there)
    assert failed == 2
    assert text.startswith("2 runs cannot start: no such devices (")


@pytest.mark.parametrize(("most", "size"), [(60, 60), (1000, 100)])
def test_a_step_is_timed_after_compilation_in_calls_of_the_run_but_no_long_ones(
    monkeypatch, most, size
):
    seconds, blocks = [0.0], []

    def advance(state, block):
        blocks.append(block)
        seconds[0] += 0.5 * size if len(blocks) > 1 else 60.0
        return state, None

    engine = types.SimpleNamespace(
        plan=Plan(1000, 300, 300, 300, max_steps_per_call=most),
        memory=lambda state: 7,
        block=lambda begin, end: (begin, end),
        advance=advance,
    )
    clock = types.SimpleNamespace(perf_counter=lambda: seconds[0])
    monkeypatch.setattr(estimate, "time", clock)
    assert estimate._timed(engine, None) == (0.5, 7)
    assert blocks == [(0, size), (size, 2 * size), (2 * size, 3 * size)]


@pytest.mark.long
def test_a_plan_names_what_is_alike_once():
    spec = dataclasses.replace(
        table_specs.get("digits"), scale=0.04, changes="model=resnet20,parallel.devices=1"
    )
    there = cells.of_table(spec, [("CCE", "clean"), ("MAE", "clean")], {}, seeds=(1, 2))
    first, last = estimate.describe(there)[0].splitlines()
    assert first.startswith("1 run x 80 steps of resnet20: ")
    assert first.endswith(" MiB, 4 times, one after the other (first: CCE, clean)")
    assert last.startswith("about ")


def _fail_once(function):
    calls = []

    def failing(*arguments):
        calls.append(arguments)
        if len(calls) == 1:
            raise ValueError("no such devices")
        return function(*arguments)

    return failing
