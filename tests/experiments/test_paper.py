"""The published numbers: every one parses, and the names are those of the CSV files."""

import csv

import pytest

from experiments import paper


def printed(number):
    with (paper.FOLDER / f"table{number}.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("number", range(1, 10))
def test_every_printed_number_is_a_percentage_of_a_cell(number):
    table = paper.table(number)
    values = [table.value(row, column) for row in table.rows for column in table.columns]
    filled = [value for value in values if value is not None]
    assert all(1 < value < 100 for value in filled)
    described = {"source", "method", "optimiser", "noise", "lambda", "beta", "accuracy_std"}
    if number == 8:
        described -= {"DM"}
    cells = [record[name] for record in printed(number) for name in record.keys() - described]
    assert len(filled) == sum(text != "" for text in cells)


@pytest.mark.parametrize("number", [1, 2, 3, 4, 5, 6, 7, 8])
def test_rows_and_columns_are_those_of_the_file(number):
    table, records = paper.table(number), printed(number)
    head, *columns = (name for name in records[0] if name not in ("source", "accuracy_std"))
    assert table.rows == tuple(record[head] for record in records)
    assert table.columns == tuple(columns)


def test_table_by_number_and_by_name_is_the_same():
    assert paper.table(3) == paper.table("3")
    assert paper.table(3).name == "3"


def test_fractions_are_percent_and_keep_what_is_printed():
    assert paper.table(2).value("DM(lambda=0.5)", "sym_0.8") == 57.0
    assert paper.table(2).raw["DM(lambda=0.5)", "sym_0.8"] == "0.57"
    assert paper.table(5).value("GCE", "imbalance_50") == 50.0
    assert paper.table(5).raw["GCE", "imbalance_50"] == "0.5"
    assert paper.table(5).value("GCE", "imbalance_10") == 77.0


def test_an_empty_cell_is_none():
    assert paper.table(2).value("MentorNet DD", "clean") is None
    assert paper.table(3).value("DM(lambda=1,beta=2)", "accuracy_dn") is None
    assert paper.table(3).value("a row of one's own", "accuracy_dn") is None
    assert paper.table(3).numbers("a row of one's own", "accuracy_dn") == {}


def test_quoted_rows_are_told_from_the_authors_own():
    assert paper.table(1).quoted == ("LS", "Boot-hard", "Forward", "D2L", "SL")
    assert paper.table(3).sources["Joint Optim."] == "own paper"
    assert paper.table(5).quoted == ()
    assert not any(row in paper.table(2).quoted for row, _ in paper.table(2).cells)


def test_table_4_is_one_run_with_two_columns():
    table = paper.table(4)
    assert table.runs == ("MARS",)
    assert table.numbers("DM", "MARS") == {"final": 72.8, "CMC-1": 84.3}


def test_table_6_has_deviations_over_trials():
    table = paper.table(6)
    assert table.deviations["DM+L2", "accuracy_mean"] == 0.2
    assert table.numbers("DM+L2", "accuracy_mean") == {"final": 59.3}
    assert paper.table(1).deviations == {}


def test_table_9_runs_one_noise_rate_for_four_columns():
    table = paper.table(9)
    assert table.runs == ("noise_0.2", "noise_0.4", "noise_0.6", "noise_0.8")
    assert table.value("DM(lambda=0.5,beta=12)", "noise_0.4/train_intact") == 85.7
    assert table.numbers("DM(beta=0)", "noise_0.8") == {
        "best": 44.4,
        "final": 28.2,
        "train_corrupted": 20.6,
        "train_intact": 28.8,
    }
    assert table.numbers("DM(lambda=2,beta=20)", "noise_0.2") == {}


def test_cells_are_what_the_authors_ran():
    assert len(paper.table(9).cells) == len(printed(9)) == 24
    assert ("DM(lambda=2,beta=20)", "noise_0.2") not in paper.table(9).cells
    assert ("DM(lambda=1,beta=2)", "accuracy_dn") not in paper.table(3).cells
    assert len(paper.table(5).cells) == 45


@pytest.mark.parametrize("name", [10, "digit"])
def test_an_unknown_table_is_refused(name):
    with pytest.raises(ValueError, match=f"unknown table '{name}'"):
        paper.table(name)
