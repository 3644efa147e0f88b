"""Which figures are drawn, from which results, and that greyscale can tell their lines apart."""

import itertools
import math
import sys
import types

import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import EDF, emphasis
from experiments import paper
from experiments.reporting import figures, layout, measured, plots, schemes, table_figures
from experiments.reporting.measured import Curve
from experiments.reporting.plots import LabelledCurve, Look
from experiments.tables.result import Result

BROKEN = f"{__name__}:Broken"


def a_result(**changed):
    fields = {"table": "9", "row": "CCE", "column": "noise_0.4", "seed": 0}
    return Result(**(fields | {"final": 60.0, "best": 70.0} | changed))


def curves(*names):
    return {"steps": [0, 10, 20]} | {name: [0.1, 0.2, 0.3] for name in names}


def tables_of(*results):
    grouped = measured.group(results)
    return {name: layout.build(name, grouped.get(name, {})) for name in {*paper.names(), *grouped}}


def lines_of(figure, panel=0):
    return {line.get_label(): line for line in figure.figure.axes[panel].get_lines()}


def test_figure_1b_shows_the_densities_of_equation_8():
    drawn = lines_of(figures.figure_1b({}))
    assert list(drawn) == [
        "CCE", "MAE", "MSE", "GCE(q=0.7)", "DM(lam=0.0, beta=2.0)", "DM(lam=2.0, beta=8.0)",
    ]  # fmt: skip
    p = drawn["MSE"].get_xdata()
    np.testing.assert_allclose(drawn["MSE"].get_ydata(), 12 * p * (1 - p) ** 2, atol=1e-5)
    for line in drawn.values():
        assert np.trapezoid(line.get_ydata(), line.get_xdata()) == pytest.approx(1.0, abs=2e-3)


def test_a_scheme_that_begins_with_an_underscore_is_in_the_legend():
    _, (axes,) = plots.panels(1)
    plots.densities(axes, {"_Hidden": emphasis.CCE()})
    assert [text.strip() for text in axes.get_legend_handles_labels()[1]] == ["_Hidden"]


def test_figure_2_compares_cce_with_the_best_dm_of_its_budget():
    shown = {"curves": curves("test_accuracy", "p_clean", "p_noisy")}
    tables = tables_of(
        a_result(**shown),
        a_result(row="DM(lambda=0,beta=1)", final=65.0, **shown),
        a_result(row="DM(lambda=1,beta=16)", final=83.0, scale=0.5, **shown),
    )
    assert list(lines_of(figures.figure_2b(tables))) == ["CCE", "DM(lambda=0,beta=1)"]
    assert list(lines_of(figures.figure_2a(tables))) == [
        "CCE, clean", "CCE, noisy",
        "DM(lambda=0,beta=1), clean", "DM(lambda=0,beta=1), noisy",
    ]  # fmt: skip


def test_figure_2c_takes_the_best_mode_of_each_rate():
    finals = {"noise_0.2": (88.0, 86.0), "noise_0.4": (79.0, 83.0)}
    tables = tables_of(
        *(
            a_result(row=f"DM(lambda={lam},beta=12)", column=run, final=final)
            for run, values in finals.items()
            for lam, final in zip((0.5, 1), values, strict=True)
        ),
        a_result(row="DM(lambda=0..1,beta=12)", column="noise_0.2", final=99.0),  # scheduled
    )
    (line,) = figures.figure_2c(tables).figure.axes[0].get_lines()
    assert list(line.get_xdata()) == [0.2, 0.4]
    assert list(line.get_ydata()) == pytest.approx([1 / 3, 1 / 2])


def test_figures_without_their_data_are_named_not_drawn(tmp_path):
    gallery = figures.draw(tables_of(a_result()), tmp_path)
    assert [drawn.title for drawn in gallery.drawn] == ["Figure 1b: emphasis density functions"]
    assert set(gallery.not_drawn) == {
        "Figure 2a", "Figure 2b", "Figure 2c", "Figure 10, clean", "Figure 11, clean",
        *(f"Figures 5-9, noise_{rate}" for rate in (0.2, 0.4, 0.6, 0.8)),
    }  # fmt: skip


def test_curves_of_a_table_have_a_panel_for_each_accuracy(tmp_path):
    names = ("test_accuracy", "train_corrupted", "train_intact")
    tables = tables_of(
        a_result(curves=curves(*names)),
        a_result(table="figure10", row="DM(lambda=0,beta=2)", column="clean",
                 curves=curves("test_accuracy")),
    )  # fmt: skip
    figure = table_figures.curves(tables["9"], "noise_0.4")
    assert [panel.get_title() for panel in figure.figure.axes] == [
        "test", "training, labels trained on", "training, true labels",
    ]  # fmt: skip
    gallery = figures.draw(tables, tmp_path)
    assert "Figures 5-9, noise_0.4" not in gallery.not_drawn
    assert "Figure 10, clean" not in gallery.not_drawn


def test_what_is_seen_of_the_fit_is_drawn_apart():
    tables = tables_of(a_result(table="1", curves=curves("test_accuracy", "p_clean", "loss")))
    drawn = table_figures.of_table(tables["1"])
    assert [figure.name for figure in drawn] == [
        "table_1_noise_0.4_curves", "table_1_noise_0.4_fit",
    ]  # fmt: skip
    panels = drawn[1].figure.axes
    assert [(panel.get_title(), panel.get_ylabel()) for panel in panels] == [
        ("clean training examples", "mean p of the given label"),
        ("training", "mean cross entropy"),
    ]


def test_a_search_has_a_panel_for_each_of_its_measures():
    shown = {"curves": curves("test_mAP", "test_CMC-1")}
    tables = tables_of(a_result(table="4", column="MARS", **shown))
    figure = table_figures.curves(tables["4"], "MARS")
    assert [panel.get_ylabel() for panel in figure.figure.axes] == ["mAP (%)", "CMC-1 (%)"]


def test_accuracy_by_rate_has_error_bars_and_leaves_other_noise_out():
    results = [
        a_result(table="1", column=column, seed=seed, final=final + seed)
        for column, final in (("sym_0.2", 60.0), ("clean", 70.0), ("asym_0.4", 10.0))
        for seed in (0, 1)
    ]
    (figure,) = table_figures.of_table(tables_of(*results)["1"])
    (line,) = labelled_lines(figure)
    assert list(line.get_xdata()) == [0.0, 0.2]
    assert list(line.get_ydata()) == [70.5, 60.5]
    (bars,) = figure.figure.axes[0].containers
    deviation = math.sqrt(0.5)
    lows_and_highs = [segment[:, 1].tolist() for segment in bars[2][0].get_segments()]
    assert lows_and_highs == [
        pytest.approx([mean - deviation, mean + deviation]) for mean in (70.5, 60.5)
    ]
    assert "one deviation as bars" in figure.caption


def test_accuracy_by_rate_tells_apart_what_departs_from_the_protocol():
    results = [
        a_result(table="1", column="clean"),
        a_result(table="1", column="sym_0.2"),
        a_result(table="1", column="sym_0.4", scale=0.5),
    ]
    (figure,) = table_figures.of_table(tables_of(*results)["1"])
    markers = {line.get_label(): line.get_fillstyle() for line in labelled_lines(figure)}
    assert markers == {"CCE": "full", "CCE (scale 0.5)": "none"}


def test_accuracy_by_rate_is_interrupted_where_a_result_departs_from_the_protocol():
    results = [a_result(table="1", column=column) for column in ("clean", "sym_0.2", "sym_0.6")]
    departs = a_result(table="1", column="sym_0.4", scale=0.5)
    (figure,) = table_figures.of_table(tables_of(*results, departs)["1"])
    protocol, other = labelled_lines(figure)
    assert np.isfinite(protocol.get_ydata()).tolist() == [True, True, False, True]
    assert list(other.get_xdata()) == [0.4]


def labelled_lines(figure):
    return figure.figure.axes[0].get_legend_handles_labels()[0]


def test_edfs_used_come_from_the_configs_and_strange_ones_are_named():
    loss = {"name": "DM", "lam": 0.5, "beta": 4.0, "normalization": "batch", "saturation": 1e-6}
    strange = {"name": "not_installed_anywhere:Scheme"}
    tables = tables_of(
        a_result(table="digits", row="DM", column="clean", config={"loss": loss}),
        a_result(table="digits", row="Mine", column="clean", config={"loss": strange}),
    )
    (figure,) = table_figures.of_table(tables["digits"])
    assert list(lines_of(figure)) == ["DM(lam=0.5, beta=4.0)"]
    assert "a scheme that is not installed as it was: Mine at clean" in figure.caption


class Broken(EDF):
    """A custom scheme that no longer works."""

    def weight(self, p):
        raise NameError("p")


def test_custom_schemes_that_no_longer_work_do_not_end_a_report():
    tables = tables_of(
        a_result(table="digits", column="clean", config={"loss": {"name": "CCE"}}),
        a_result(table="digits", row="B", column="clean", config={"loss": {"name": BROKEN}}),
    )
    (figure,) = table_figures.of_table(tables["digits"])
    assert "a scheme that is not installed as it was: B at clean" in figure.caption


@pytest.mark.parametrize("name", [r"Bump $\foo$", "_Bump"])
def test_any_method_name_is_in_the_legend_as_it_is(name):
    results = (a_result(row=row, curves=curves("test_accuracy")) for row in ("CCE", name))
    (drawn, *_) = table_figures.of_table(tables_of(*results)["9"])
    drawn.figure.draw_without_rendering()
    (legend,) = drawn.figure.legends
    assert legend.get_texts()[1].get_text().strip().replace(r"\$", "$") == name


def test_what_all_lines_depart_by_is_said_once():
    mark = {"scale": 0.5, "changes": "model=resnet20"}
    shown = {"curves": curves("test_accuracy")}
    marked = a_result(**shown, **mark)
    alike = tables_of(marked, a_result(row="DM(lambda=0,beta=1)", **shown, **mark))
    figure = table_figures.curves(alike["9"], "noise_0.4")
    assert list(lines_of(figure)) == ["CCE", "DM(lambda=0,beta=1)"]
    (legend,) = figure.figure.legends
    assert legend.get_title().get_text() == "scale 0.5, model=resnet20"
    assert figure.caption == "One seed. Not the full protocol: scale 0.5, model=resnet20."
    mixed = tables_of(marked, a_result(row="DM(lambda=0,beta=1)", **shown))
    figure = table_figures.curves(mixed["9"], "noise_0.4")
    assert list(lines_of(figure)) == ["CCE (scale 0.5, model=resnet20)", "DM(lambda=0,beta=1)"]


def test_a_long_legend_leaves_the_panels_their_height():
    def panel_height(count):
        results = [
            a_result(table="digits", row=f"a method with number {i}", curves=curves("loss"))
            for i in range(count)
        ]
        figure = table_figures.fit_curves(tables_of(*results)["digits"], "noise_0.4").figure
        figure.draw_without_rendering()
        return figure.axes[0].get_window_extent().height

    assert panel_height(20) == pytest.approx(panel_height(2), rel=0.1)


@pytest.mark.parametrize(("highest", "scale"), [(5.0, "linear"), (2000.0, "log")])
def test_a_loss_far_above_the_others_leaves_them_visible(highest, scale):
    losses = {"CCE": [2.0, 1.0, 0.5], "MSE": [2.1, 1.1, 0.6], "MAE-DN": [2.2, 3.0, highest]}
    results = [
        a_result(table="1", row=row, curves={"steps": [0, 10, 20], "loss": values})
        for row, values in losses.items()
    ]
    figure = table_figures.fit_curves(tables_of(*results)["1"], "noise_0.4")
    assert figure.figure.axes[0].get_yscale() == scale


def test_lines_differ_in_dash_or_marker_not_only_in_colour():
    looks = [Look.number(index) for index in range(20)]
    for first, second in itertools.combinations(looks, 2):
        assert (first.dash, first.marker) != (second.dash, second.marker)


def test_long_curves_are_thinned_but_keep_their_ends():
    steps = list(range(5000))
    line = LabelledCurve("long", Curve(steps, [1.0] * 5000, [0.0] * 5000), Look.number(0))
    _, (axes,) = plots.panels(1)
    plots.curves(axes, [line], title="", ylabel="", highest=100)
    shown = axes.get_lines()[0].get_xdata()
    assert len(shown) == 250
    assert (shown[0], shown[-1]) == (0, 4999)


def test_bands_stay_where_values_are_possible():
    line = LabelledCurve("far", Curve([0, 1], [0.5, 99.0], [2.0, 2.0]), Look.number(0))
    _, (axes,) = plots.panels(1)
    plots.curves(axes, [line], title="", ylabel="", highest=100)
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    assert (heights.min(), heights.max()) == (0, 100)


def names_of(losses):
    return list(schemes.by_name([a_result(config={"loss": loss}) for loss in losses]))


def test_classes_of_one_name_are_told_apart():
    here, there = ({"name": f"{module}:Knee", "knee": 0.2} for module in (__name__, "my_other"))
    moving = {**here, "schedule": {"knee": 0.4}}
    names = names_of([here, moving, {**here, "normalization": "none"}])
    assert names == ["Knee(knee=0.2)", "Knee(knee=0.2), knee to 0.4"]
    other = types.ModuleType("my_other")
    other.Knee = type("Knee", (Knee,), {})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "my_other", other)
        assert names_of([here, there]) == [
            f"Knee(knee=0.2) of {__name__}:Knee(knee=0.2)",
            "Knee(knee=0.2) of my_other:Knee(knee=0.2)",
        ]


class Knee(EDF):
    """A custom scheme."""

    knee: float

    def weight(self, p):
        return jnp.minimum(p / self.knee, 1)


def test_same_results_draw_the_same_bytes(tmp_path):
    tables = tables_of(a_result(curves=curves("test_accuracy")))
    for run in ("a", "b"):
        figures.draw(tables, tmp_path / run)
    for file in (tmp_path / "a" / "figures").iterdir():
        assert file.read_bytes() == (tmp_path / "b" / "figures" / file.name).read_bytes()
