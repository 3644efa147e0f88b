"""Draws the paper's figures and those of the tables if the results allow, else lists them."""

import dataclasses
import pathlib
import re
import textwrap
from collections.abc import Callable, Collection, Mapping

import matplotlib as mpl

from dm_jax import CCE, DM, GCE, MAE, MSE
from experiments.reporting import plots, table_figures
from experiments.reporting.comparison import Table, rate_of
from experiments.reporting.measured import MeasuredCell, comparable
from experiments.reporting.table_figures import ReportFigure
from experiments.tables import table_specs

FIGURE_2_RUN = "noise_0.4"


@dataclasses.dataclass(frozen=True)
class Gallery:
    """What was drawn, and why the rest was not."""

    drawn: tuple[ReportFigure, ...]
    not_drawn: dict[str, str]

    def of_table(self, name: str | None) -> list[ReportFigure]:
        """The figures of a table; for None, those that need no results."""
        return [figure for figure in self.drawn if figure.table == name]


def draw(
    tables: Mapping[str, Table], folder: pathlib.Path, only: Collection[str] | None = None
) -> Gallery:
    """Draws every figure into `folder`/figures, as PNG and SVG.

    Args:
      tables: by name.
      folder: of the report.
      only: the tables whose figures are listed if they cannot be drawn; None means all.
    """
    with mpl.rc_context(plots.STYLE):
        paper = {
            name: function(tables)
            for name, (table, function) in PAPER_FIGURES.items()
            if table is None or table in tables
        }
        figures = [figure for figure in paper.values() if isinstance(figure, ReportFigure)]
        for table in tables.values():
            figures += table_figures.of_table(table)
        for figure in figures:
            _save(figure, folder)
    not_drawn = {name: reason for name, reason in paper.items() if isinstance(reason, str)}
    return Gallery(tuple(figures), not_drawn | _curves_not_drawn(figures, only))


def figure_1b(tables: Mapping[str, Table]) -> ReportFigure:
    """h(p) of the common losses and of two settings of DM; needs no results."""
    schemes = (CCE(), MAE(), MSE(), GCE(q=0.7), DM(lam=0.0, beta=2.0), DM(lam=2.0, beta=8.0))
    figure, axes = plots.panels(1)
    plots.densities(axes[0], {repr(edf).removesuffix("()"): edf for edf in schemes})
    return ReportFigure(
        name="figure_1b",
        title="Figure 1b: emphasis density functions",
        caption="How much of the gradient goes to examples of which probability p: h over p "
        "(Eq. 8), from the formulas.",
        table=None,
        figure=plots.finish(figure, axes),
    )


def figure_2a(tables: Mapping[str, Table]) -> ReportFigure | str:
    """Mean p of clean and of noisy training examples, CCE and DM."""
    figure = table_figures.mean_probabilities(tables["9"], [FIGURE_2_RUN])
    if figure is None:
        return f"Table 9 has no CCE and DM with curves of p at {FIGURE_2_RUN}"
    title = f"Figure 2a: mean p of clean and of noisy training examples, {FIGURE_2_RUN}"
    return dataclasses.replace(figure, name="figure_2a", title=title)


def figure_2b(tables: Mapping[str, Table]) -> ReportFigure | str:
    """Test accuracy over the steps, CCE and DM."""
    cells = table_figures.cce_and_dm(tables["9"], FIGURE_2_RUN, "test_accuracy")
    if not cells:
        return f"Table 9 has no CCE and DM with curves of test accuracy at {FIGURE_2_RUN}"
    figure, axes = plots.panels(1)
    table, remark = tables["9"], table_figures.shared_mark(cells)
    lines = table_figures.lines(table, cells, "test_accuracy", remark)
    plots.curves(axes[0], lines, title="", ylabel="test accuracy (%)", highest=100)
    return ReportFigure(
        name="figure_2b",
        title=f"Figure 2b: test accuracy over training, {FIGURE_2_RUN}",
        caption=table_figures.seeds_caption(cells),
        table="9",
        figure=plots.finish(figure, axes, remark=remark),
    )


def figure_2c(tables: Mapping[str, Table]) -> ReportFigure | str:
    """The emphasis mode of the best DM by noise rate, if at least two lambdas were compared."""
    best = _best_modes(tables["9"])
    if len(best) < 2:
        return "Table 9 has fewer than two noise rates at which several lambdas were run"
    figure, axes = plots.panels(1)
    rates = sorted(best)
    axes[0].plot(rates, [best[rate][1] for rate in rates], "o-", color="black")
    cells = [cell for cell, _ in best.values()]
    remark = table_figures.shared_mark(cells)
    for rate, (cell, mode) in best.items():
        name = table_figures.label(tables["9"], cell, remark).replace(",", ",\n")
        axes[0].annotate(
            name,
            (rate, mode),
            (0, 9),
            textcoords="offset points",
            ha="center",
            fontsize=7.5,
            bbox={"boxstyle": "round,pad=0.15", "facecolor": "white", "edgecolor": "none"},
        )
    axes[0].set_title(textwrap.fill(remark, 60), fontsize="small")
    axes[0].set(xlabel="noise rate", ylabel="best emphasis mode", ylim=(-0.05, 0.85), xticks=rates)
    axes[0].margins(x=0.2)
    return ReportFigure(
        name="figure_2c",
        title="Figure 2c: the best emphasis mode by noise rate",
        caption="lambda / (lambda + 1) of the DM row of Table 9 with the highest final accuracy. "
        + table_figures.seeds_caption(cells, deviation=""),
        table="9",
        figure=figure,
    )


# Each with the table whose results it shows.
PAPER_FIGURES: dict[str, tuple[str | None, Callable[[Mapping[str, Table]], ReportFigure | str]]] = {
    "Figure 1b": (None, figure_1b),
    "Figure 2a": ("9", figure_2a),
    "Figure 2b": ("9", figure_2b),
    "Figure 2c": ("9", figure_2c),
}


def _curves_not_drawn(
    figures: Collection[ReportFigure], only: Collection[str] | None
) -> dict[str, str]:
    names = {figure.name for figure in figures}
    shown = [spec for spec in map(table_specs.get, table_specs.names()) if spec.figures]
    return {
        f"{spec.figures}, {condition}": "no results with curves"
        for spec in shown
        if only is None or spec.name in only
        for condition in spec.columns
        if table_figures.curves_name(spec.name, condition) not in names
    }


def _best_modes(table: Table) -> dict[float, tuple[MeasuredCell, float]]:
    """The most accurate DM cell and its mode, by noise rate at which several modes compete."""
    found: dict[float, list[tuple[MeasuredCell, float]]] = {}
    for cell in comparable(table.cells.values()):
        rate, mode = rate_of(cell.column), _mode(cell.row)
        if rate is not None and mode is not None and cell.measured("final"):
            found.setdefault(rate, []).append((cell, mode))
    return {
        rate: max(pairs, key=lambda pair: table_figures.final_accuracy(pair[0]))
        for rate, pairs in found.items()
        if len({mode for _, mode in pairs}) > 1
    }


def _mode(row: str) -> float | None:
    """The mode of a row named after its lambda; None for other names."""
    found = re.match(r"DM\(lambda=(\d+(?:\.\d+)?)[,)]", row)
    return float(found[1]) / (float(found[1]) + 1) if found else None


def _save(figure: ReportFigure, folder: pathlib.Path) -> None:
    (folder / "figures").mkdir(parents=True, exist_ok=True)
    figure.figure.savefig(folder / figure.png, dpi=150, metadata={"Software": None})
    figure.figure.set_layout_engine("none")  # laid out; once more would take as long as drawing
    figure.figure.savefig(folder / figure.svg, metadata={"Date": None}, transparent=True)
