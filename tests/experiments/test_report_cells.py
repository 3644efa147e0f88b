"""Means, what is bold, what is missing: the numbers of the report before they are printed."""

import dataclasses
import math
import re

import pytest

from configs import overrides
from experiments.reporting import layout, markdown, measured, page, provenance, report
from experiments.reporting.measured import Measured, MeasuredCell
from experiments.tables.result import Result
from experiments.tables.tuning_file import ParameterSearch


def a_result(**changed):
    fields = {"table": "1", "row": "CCE", "column": "clean", "seed": 0, "final": 70.0, "best": 71.0}
    fields["config"] = overrides.parse(changed.get("changes", ""))
    return Result(**(fields | changed))


def failed(**changed):
    return a_result(status="failed", error="killed", final=math.nan, best=math.nan, **changed)


def a_table(*results):
    (name,) = {result.table for result in results}
    return layout.build(name, measured.group(results)[name])


def test_a_setting_tells_whether_the_code_was_that_of_the_commit():
    runs = [a_result(device="1 x chip", commit="0123abcd"), a_result(seed=1, commit="0123abcd+")]
    of_commit, changed = (one.conditions for one in provenance.settings_of(a_table(*runs)))
    assert of_commit == "1 x chip; ; commit 0123abcd"
    assert changed.endswith("commit 0123abcd with uncommitted changes")


def test_mean_and_sample_deviation_over_seeds():
    cell = MeasuredCell.of(
        [a_result(seed=seed, final=value) for seed, value in enumerate((60, 62, 64))]
    )
    assert cell.measured("final") == Measured(62.0, 2.0)
    assert MeasuredCell.of([a_result()]).measured("final") == Measured(70.0, None)
    assert [run.seed for run in MeasuredCell.of([a_result(seed=s) for s in (2, 1)]).runs] == [1, 2]


def test_of_a_seed_run_twice_the_last_counts():
    cell = MeasuredCell.of([a_result(final=10.0), a_result(final=20.0)])
    assert cell.measured("final") == Measured(20.0, None)
    assert cell.left_out == 1


def test_of_several_files_the_latest_run_counts_in_any_order():
    early = a_result(final=10.0, date="2026-11-25T10:00:00+00:00")
    late = a_result(final=20.0, date="2026-11-26T10:00:00+00:00")
    for results in ([early, late], [late, early]):
        assert MeasuredCell.of(results).measured("final").mean == 20.0


@pytest.mark.parametrize(
    ("loss", "scheme"),
    [
        ({"name": "DM", "beta": 8.0, "normalization": "batch"}, "DM(beta=8)"),
        ({"name": "CCE", "normalization": "batch"}, "CCE-DN"),
        ({"name": "my:Own", "normalization": "batch"}, "my:Own"),
        ({"name": "CCE", "normalization": "density"}, "CCE, normalization density"),
        ({"name": "CCE", "normalization": "none"}, "CCE"),
        ({"name": "DM", "beta": 8.0, "normalization": "none"}, "DM(beta=8), normalization none"),
        ({"name": "my:Own", "kind": "power", "normalization": "batch"}, "my:Own(kind=power)"),
        ({"name": "CCE", "saturation": 0.0, "class_weights": []}, "CCE, saturation 0"),
        ({"name": "CCE", "class_weights": [1.0, 0.5]}, "CCE, class weights 1, 0.5"),
        (
            {"name": "DM", "lam": 0.5, "normalization": "batch", "schedule": {"lam": 1.0}},
            "DM(lam=0.5), lam to 1.0",
        ),
    ],
)
def test_provenance_names_the_whole_scheme(loss, scheme):
    table = a_table(a_result(config={"loss": loss}))
    assert provenance.lines(table)[0].scheme == scheme


def test_budgets_are_never_mixed_and_the_largest_wins():
    cell = MeasuredCell.of([a_result(), a_result(seed=1, scale=0.1, final=10.0)])
    assert (cell.budget, len(cell.runs), cell.left_out) == ((1.0, ""), 1, 1)


def test_a_custom_scheme_is_not_averaged_with_its_old_code():
    old = [a_result(seed=seed, weight_profile=[0.0, 1.0], final=90.0) for seed in (1, 2)]
    new = a_result(weight_profile=[0.0, 5.0], final=30.0, date="2027-01-01T00:00:00+00:00")
    close = dataclasses.replace(new, seed=3, weight_profile=[0.01, 5.0], final=40.0)
    cell = MeasuredCell.of([*old, new, close])
    assert [run.final for run in cell.runs] == [30.0, 40.0]
    assert cell.left_out == 2


def test_a_custom_scheme_is_not_averaged_with_code_that_nobody_recorded():
    cell = MeasuredCell.of([a_result(), a_result(seed=1, weight_profile=[0.0, 1.0])])
    assert (len(cell.runs), cell.left_out) == (1, 1)


def test_a_changed_protocol_never_hides_the_table_s_own():
    cell = MeasuredCell.of([a_result(final=60.0), a_result(final=90.0, changes="model=resnet20")])
    assert (cell.measured("final").mean, cell.mark, cell.left_out) == (60.0, "", 1)


def test_a_shorter_training_is_nearer_to_the_table_s_own_than_a_changed_one():
    cell = MeasuredCell.of([a_result(scale=0.5), a_result(changes="model=resnet20")])
    assert cell.mark == "scale 0.5"


def test_a_longer_training_never_hides_the_table_s_own():
    cell = MeasuredCell.of([a_result(final=60.0), a_result(final=90.0, scale=2.0)])
    assert (cell.measured("final").mean, cell.mark, cell.left_out) == (60.0, "", 1)
    longer = a_result(final=90.0, scale=2.0)
    others = [a_result(row=row, final=value) for row, value in (("GCE", 60.0), ("MAE", 50.0))]
    (section,) = a_table(longer, *others).sections
    assert [row for row in section.rows if section.entries[row, "clean"].top] == ["GCE"]


def test_seeds_of_other_parameters_are_not_averaged():
    def config(beta, seed):
        return {"beta": beta, "seed": seed, "noise": {"rate": 0.4, "seed": seed}}

    first = [a_result(seed=seed, config=config(8, seed)) for seed in (1, 2)]
    then = [a_result(seed=seed, config=config(12, seed), final=80.0) for seed in (1, 2)]
    cell = MeasuredCell.of([*first, *then])
    assert (cell.measured("final"), len(cell.runs)) == (Measured(80.0, 0.0), 2)
    assert cell.left_out == 2


def test_the_config_decides_which_seeds_are_averaged_not_how_it_was_written():
    written = [("", 0.9), ("optimizer.momentum=.9", 0.9), ("", 1), ("", 1.0)]
    results = [
        a_result(seed=seed, changes=changes, config={"momentum": value, "seed": seed})
        for seed, (changes, value) in enumerate(written)
    ]
    cell = MeasuredCell.of(results[:2])
    assert (len(cell.runs), cell.mark) == (2, "")
    assert len(MeasuredCell.of(results[2:]).runs) == 2


def test_a_failure_under_other_parameters_is_no_failure_of_the_cell():
    results = [a_result(config={"beta": 8}), failed(seed=1, config={"beta": 0})]
    assert MeasuredCell.of(results).failed == ()


def test_a_run_that_the_paper_does_not_have_is_a_section_of_its_own():
    table = a_table(a_result(table="9", column="noise_0.3"), a_result(table="9", row="GCE"))
    assert {"noise_0.3", "clean"} <= {c for section in table.sections for c in section.columns}
    (own,) = (section for section in table.sections if section.columns == ("noise_0.3",))
    assert own.rows == ("CCE",)


def test_searches_are_in_the_order_of_the_cells_and_those_of_no_cell_come_last():
    rows = ("Own", "GCE", "CCE")
    found = [ParameterSearch("digits", row, "clean", {}, [({}, 90.0)], [1]) for row in rows]
    ordered = layout.build("digits", {}, found).searches
    assert [search.row for search in ordered] == ["CCE", "GCE", "Own"]


def test_seeds_of_other_data_are_not_averaged():
    """Nor with seeds from before the data were recorded."""
    cell = MeasuredCell.of(
        [a_result(seed=seed, data=data) for seed, data in enumerate(("", "a" * 64, "b" * 64))]
    )
    assert ([run.data for run in cell.runs], cell.left_out) == (["b" * 64], 2)


def test_provenance_names_the_data():
    of_data = [a_result(row=row, data=data) for row, data in (("CCE", "a" * 64), ("MAE", ""))]
    assert [line.data for line in provenance.lines(a_table(*of_data))] == ["a" * 12, "not recorded"]


def test_provenance_is_that_of_the_finished_runs():
    ended = [a_result(seed=seed, seconds=4.0, date=f"2026-11-2{seed}T10") for seed in (1, 2)]
    (line,) = provenance.lines(a_table(*ended, failed(seed=3, date="2026-11-23T10")))
    assert (line.seeds, line.date, line.seconds) == ("1, 2", "2026-11-21, 2026-11-22", "4.0 s")
    assert line.remarks == "seed 3 failed: killed"


def test_a_failed_trial_of_a_smaller_scale_is_no_failure_of_the_cell():
    assert MeasuredCell.of([a_result(), failed(seed=3, scale=0.1)]).failed == ()
    assert len(MeasuredCell.of([a_result(), failed(seed=3)]).failed) == 1


def test_a_seed_that_failed_and_then_finished_is_no_failure():
    assert MeasuredCell.of([failed(), a_result()]).failed == ()
    assert MeasuredCell.of([failed(), a_result()]).left_out == 0
    assert len(MeasuredCell.of([failed(seed=1), a_result()]).failed) == 1


def test_a_metric_that_some_seeds_lack_is_not_recorded():
    cell = MeasuredCell.of([a_result(metrics={"mAP": 50.0}), a_result(seed=1)])
    assert cell.measured("mAP") is None


def test_curves_are_averaged_at_the_steps_all_seeds_share():
    first = a_result(curves={"steps": [0, 10, 20], "p_clean": [0.1, 0.2, 0.3]})
    second = a_result(seed=1, curves={"steps": [0, 20], "p_clean": [0.1, 0.5]})
    curve = MeasuredCell.of([first, second]).curve("p_clean")
    assert curve.steps == [0, 20]
    assert curve.mean == pytest.approx([0.1, 0.4])
    assert MeasuredCell.of([first]).curve("p_clean").deviation == [0.0, 0.0, 0.0]
    assert MeasuredCell.of([first, second]).curve("p_noisy") is None
    lacks = a_result(seed=1, curves={"steps": [0, 20]})
    assert MeasuredCell.of([first, lacks]).curve("p_clean") is None


def test_points_that_are_no_numbers_are_left_out_of_a_curve():
    result = a_result(curves={"steps": [0, 10], "p_noisy": [math.nan, 0.5]})
    assert MeasuredCell.of([result]).curve("p_noisy").steps == [10]


def test_highest_of_a_column_is_marked_among_equal_budgets():
    table = a_table(
        a_result(row="CCE", final=70.0),
        a_result(row="GCE", final=71.04),
        a_result(row="MSE", final=70.96),
        a_result(row="DM", final=70.9),
        a_result(row="MAE", final=90.0, scale=0.5),
    )
    entries = table.sections[0].entries
    top = {row for row, column in entries if entries[row, column].top}
    assert top == {"GCE", "MSE"}  # both print 71.0


def test_a_changed_protocol_does_not_compete_with_the_table_s_own():
    table = a_table(
        a_result(row="CCE", final=70.0),
        a_result(row="GCE", final=69.0),
        a_result(row="MSE", final=90.0, changes="model=resnet20"),
    )
    entries = table.sections[0].entries
    assert {row for row, column in entries if entries[row, column].top} == {"CCE"}


def test_a_single_number_is_not_marked():
    assert not any(entry.top for entry in a_table(a_result()).sections[0].entries.values())


def test_where_methods_are_columns_the_highest_of_a_row_is_marked():
    table = a_table(
        a_result(table="8", row="0.4", column="Baseline", final=40.0),
        a_result(table="8", row="0.4", column="DM", final=46.0),
        a_result(table="8", row="0.0", column="Baseline", final=75.0),
        a_result(table="8", row="0.0", column="DM", final=74.0),
    )
    entries = table.sections[0].entries
    assert {key for key in entries if entries[key].top} == {("0.4", "DM"), ("0.0", "Baseline")}


def test_difference_is_measured_less_published():
    entry = a_table(a_result(final=71.5)).sections[0].entries["CCE", "clean"]
    assert (entry.paper, entry.difference) == (70.0, 1.5)


def test_the_same_changes_in_another_order_are_one_protocol():
    orders = ("model=resnet20,train.batch_size=64", "train.batch_size=64,model.name=resnet20")
    results = [a_result(seed=seed, changes=changes) for seed, changes in enumerate(orders)]
    (cell,) = measured.group(results)["1"].values()
    assert (len(cell.runs), cell.left_out) == (2, 0)
    assert cell.mark == "model=resnet20, train.batch_size=64"
    assert MeasuredCell.of(results[1:]).mark == cell.mark


def test_quoted_rows_have_a_source_and_are_never_missing():
    table = a_table(a_result())
    assert table.source("LS") == "the SL paper"
    assert table.source("CCE") == ""
    assert "LS" not in table.not_run
    assert table.sections[0].entries["LS", "clean"].note == ""


def test_status_says_how_much_was_run():
    assert layout.build("3", {}).status == "not run: data not at hand"
    assert layout.build("1", {}).status == "not run"
    assert a_table(a_result()).status == "in part: 1 of 84 cells, 1 seed"
    assert a_table(failed()).status == "no cell finished"
    runs = [a_result(), a_result(seed=1), a_result(row="GCE", scale=0.25)]
    assert a_table(*runs).status == (
        "in part: 2 of 84 cells, 1 to 2 seeds, scaled down in part (scale 0.25)"
    )


def test_a_table_run_in_full_says_so():
    published = layout.build("4", {}).published
    table = a_table(*(a_result(table="4", row=row, column=run) for row, run in published.cells))
    assert table.status == "in full: 5 of 5 cells, 1 seed"
    assert table.not_run == ""
    shorter = (a_result(table="4", row=r, column=run, scale=0.1) for r, run in published.cells)
    assert a_table(*shorter).status == "5 of 5 cells, 1 seed, scaled down (scale 0.1)"


def test_rows_and_columns_that_the_paper_lacks_are_shown_too():
    table = a_table(a_result(row="Mine", column="sym_0.8"))
    assert table.sections[0].rows[-1] == "Mine"
    assert table.sections[0].columns[-1] == "sym_0.8"
    assert table.status == "in part: 0 of 84 cells and 1 more, 1 seed"


def test_table_4_shows_both_measures_of_its_one_run():
    table = a_table(a_result(table="4", row="DM", column="MARS", metrics={"CMC-1": 85.0}))
    (section,) = table.sections
    assert section.columns == ("mAP", "CMC-1")
    assert section.entries["DM", "CMC-1"].difference == pytest.approx(0.7)
    assert section.entries["DM", "mAP"].best == Measured(71.0, None)
    assert section.entries["DM", "CMC-1"].best is None


def test_table_6_has_the_paper_s_deviation():
    table = a_table(a_result(table="6", row="DM", column="accuracy_mean", final=55.0))
    entry = table.sections[0].entries["DM", "accuracy_mean"]
    assert "paper 55.7 ± 0.3 (\N{MINUS SIGN}0.7)" in markdown._entry(entry)


def test_a_table_of_another_name_is_reported_without_a_paper():
    table = a_table(a_result(table="mine", column="r_10"), a_result(table="mine", column="r_9"))
    assert table.sections[0].columns == ("r_9", "r_10")
    assert table.sections[0].entries["CCE", "r_9"].difference is None
    assert table.status == "2 cells, 1 seed"


def test_names_are_no_html_in_markdown(tmp_path):
    """Neither in cells nor in captions and lists."""
    name = "Own <b>"
    report.write([a_result(row=name)], tmp_path, only={"1"})
    text = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert "Own &lt;b>" in text
    assert name not in text


@pytest.mark.parametrize(
    ("final", "colour"),
    [
        (71.5, "above"),
        (70.6, "above"),
        (70.54, "even"),  # prints +0.5
        (70.0, "even"),
        (69.46, "even"),
        (69.4, "below"),
        (68.5, "below"),
    ],
)
def test_a_difference_has_the_colour_of_what_it_prints(final, colour):
    """The paper has 70.0; the page says that half a point is not coloured."""
    entry = a_table(a_result(final=final)).sections[0].entries["CCE", "clean"]
    assert re.findall(r'class="difference (\w+)"', page._entry(entry)) == [colour]
    above, below, within = re.findall(r'difference (\w+)">', page._legend())
    assert (above, below, within) == ("above", "below", "even")
    assert "within 0.5 points" in page._legend()


def test_the_highest_at_the_end_and_the_highest_at_best_are_bold_apart():
    rows = {"CCE": (70.0, 90.0), "GCE": (71.0, 80.0)}
    table = a_table(*(a_result(row=row, final=f, best=b) for row, (f, b) in rows.items()))
    entries = {row: table.sections[0].entries[row, "clean"] for row in rows}
    bold = {row: re.findall(r"\*\*(.+?)\*\*", markdown._entry(e)) for row, e in entries.items()}
    assert bold == {"CCE": ["90.0"], "GCE": ["71.0"]}
    marked = r'class="(?:value )?top"><span class="number">(.+?)<'
    bold = {row: re.findall(marked, page._entry(entry)) for row, entry in entries.items()}
    assert bold == {"CCE": ["90.0"], "GCE": ["71.0"]}


def test_the_overview_tells_full_from_in_part_and_from_nothing():
    whole = layout.build("4", {}).published
    tables = [
        layout.build("1", {}),
        a_table(a_result()),
        a_table(*(a_result(table="4", row=row, column=run) for row, run in whole.cells)),
    ]
    assert re.findall(r'class="state (\w+)"', page._overview(tables)) == ["none", "part", "full"]
