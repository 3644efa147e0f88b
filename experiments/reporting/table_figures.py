"""Figures that any table can have: its curves, accuracy by noise rate, the EDFs it used."""

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping

from matplotlib.figure import Figure

from experiments.paper import Pair
from experiments.reporting import plots, schemes
from experiments.reporting.comparison import Table, listing, rate_of
from experiments.reporting.measured import Curve, Measured, MeasuredCell, comparable
from experiments.reporting.plots import LabelledCurve, Look
from experiments.text import seeds_range

# Curve -> the title of its panel and the label of its y axis.
ACCURACIES = {
    "test_accuracy": ("test", "accuracy (%)"),
    "test_mAP": ("test", "mAP (%)"),
    "test_CMC-1": ("test", "CMC-1 (%)"),
    "train_corrupted": ("training, labels trained on", "accuracy (%)"),
    "train_intact": ("training, true labels", "accuracy (%)"),
}
FIT = {
    "p_clean": ("clean training examples", "mean p of the given label"),
    "p_noisy": ("noisy training examples", "mean p of the given label"),
    "loss": ("training", "mean cross entropy"),
}
# The largest possible value of each curve that is not a percentage.
HIGHEST = {"p_clean": 1.0, "p_noisy": 1.0, "loss": math.inf}
PROBABILITIES = {"p_clean": "clean", "p_noisy": "noisy"}


@dataclasses.dataclass(frozen=True)
class ReportFigure:
    """A drawn figure.

    Attributes:
      name: the name of its file, without the suffix.
      title, caption: what it shows.
      table: the table it belongs to; None for one that needs no results.
      figure: the picture.
      is_curves: whether it is one of the many figures of curves, which the page folds away.
    """

    name: str
    title: str
    caption: str
    table: str | None
    figure: Figure
    is_curves: bool = False

    @property
    def png(self) -> str:
        """Its path relative to the report; `svg` is the other format."""
        return f"figures/{self.name}.png"

    @property
    def svg(self) -> str:
        """See `png`."""
        return f"figures/{self.name}.svg"


def of_table(table: Table) -> list[ReportFigure]:
    """All figures that the table's results allow."""
    conditions = table.conditions
    found = [_accuracy_by_rate(table)]
    if table.published is None:
        found += [_edfs(table), mean_probabilities(table, conditions)]
    for condition in conditions:
        found += [curves(table, condition), fit_curves(table, condition)]
    return [figure for figure in found if figure is not None]


def curves(table: Table, condition: str) -> ReportFigure | None:
    """Accuracies of all methods over the steps under one condition, with a panel per accuracy."""
    file = curves_name(table.name, condition)
    return _panels(table, condition, ACCURACIES, file=file, heading=_heading(table, condition))


def curves_name(table: str, condition: str) -> str:
    """The name of the figure that `curves` draws."""
    return _file_name(f"table_{table}_{condition}_curves")


def fit_curves(table: Table, condition: str) -> ReportFigure | None:
    """As `curves`, for the fit of the training labels: mean p and the loss."""
    heading = f"{table.heading}, {_condition(table, condition)}"
    file = _file_name(f"table_{table.name}_{condition}_fit")
    return _panels(table, condition, FIT, file=file, heading=heading)


def _panels(
    table: Table, condition: str, shown: Mapping[str, Pair], *, file: str, heading: str
) -> ReportFigure | None:
    cells = [cell for cell in table.cells_of(condition) if _curves(cell, shown)]
    remark = shared_mark(cells)
    panels = {name: found for name in shown if (found := lines(table, cells, name, remark))}
    if not panels:
        return None
    measured = dict.fromkeys(shown[name][1].removesuffix(" (%)") for name in panels)
    figure, axes = plots.panels(len(panels))
    for panel, (name, found) in zip(axes, panels.items(), strict=True):
        title, ylabel = shown[name]
        highest = HIGHEST.get(name, 100.0)
        plots.curves(panel, found, title=title, ylabel=ylabel, highest=highest)
    return ReportFigure(
        name=file,
        title=f"{heading}: {', '.join(measured)} over training",
        caption=seeds_caption(cells),
        table=table.name,
        figure=plots.finish(figure, axes, remark=remark),
        is_curves=True,
    )


def lines(
    table: Table, cells: Iterable[MeasuredCell], name: str, remark: str
) -> list[LabelledCurve]:
    """A line for each of the cells that has the named curve."""
    return [
        LabelledCurve(label(table, cell, remark), curve, look(table, cell))
        for cell in cells
        if (curve := _curves(cell, [name]).get(name))
    ]


def _curves(cell: MeasuredCell, names: Iterable[str]) -> dict[str, Curve]:
    """The named curves that the cell has."""
    found = {name: cell.curve(name) for name in names}
    return {name: curve for name, curve in found.items() if curve and curve.steps}


def mean_probabilities(table: Table, conditions: Iterable[str]) -> ReportFigure | None:
    """Mean p of clean and of noisy training examples, CCE and the best DM, per condition."""
    panels = {name: cells for name in conditions if (cells := cce_and_dm(table, name, "p_noisy"))}
    if not panels:
        return None
    shown = [cell for cells in panels.values() for cell in cells]
    remark = shared_mark(shown)
    figure, axes = plots.panels(len(panels))
    for panel, (condition, cells) in zip(axes, panels.items(), strict=True):
        lines = [
            LabelledCurve(
                f"{label(table, cell, remark)}, {kind}", curve, Look.number(2 * number + part)
            )
            for number, cell in enumerate(cells)
            for part, (name, kind) in enumerate(PROBABILITIES.items())
            if (curve := _curves(cell, PROBABILITIES).get(name))
        ]
        ylabel = "mean p of the given label"
        plots.curves(panel, lines, title=condition, ylabel=ylabel, highest=1)
        panel.set_ylim(0, 1)
    return ReportFigure(
        name=_file_name(f"table_{table.name}_mean_p"),
        title=f"{table.heading}: mean p of clean and of noisy training examples",
        caption="p is the probability of the label trained on: the higher for noisy examples, the "
        "more wrong labels were learned. " + seeds_caption(shown),
        table=table.name,
        figure=plots.finish(figure, axes, remark=remark),
    )


def cce_and_dm(table: Table, condition: str, curve: str) -> list[MeasuredCell]:
    """The cells of cross entropy and of the best comparable DM, if both have a curve."""
    cells = [cell for cell in comparable(table.cells_of(condition)) if _curves(cell, [curve])]
    plain = [cell for cell in cells if cell.row == "CCE"]
    derived = [cell for cell in cells if cell.row.startswith("DM") and cell.measured("final")]
    if not plain or not derived:
        return []
    return [plain[0], max(derived, key=final_accuracy)]


def final_accuracy(cell: MeasuredCell) -> float:
    """Mean final accuracy of a cell that has runs."""
    measured = cell.measured("final")
    return measured.mean if measured else 0.0


def look(table: Table, cell: MeasuredCell) -> Look:
    """The look of a cell's method, the same in all figures of its table."""
    methods = list(dict.fromkeys(table.method(known) for known in table.cells.values()))
    return Look.number(methods.index(table.method(cell)))


def shared_mark(cells: Iterable[MeasuredCell]) -> str:
    """How all of the cells depart from the table's protocol; "" if they differ in it."""
    marks = {cell.mark for cell in cells}
    return marks.pop() if len(marks) == 1 else ""


def label(table: Table, cell: MeasuredCell, remark: str) -> str:
    """The method, and how the cell departs from the protocol unless the remark has it."""
    method = plots.legend_text(table.method(cell))
    return f"{method} ({cell.mark})" if cell.mark not in ("", remark) else method


def seeds_caption(cells: list[MeasuredCell], *, deviation: str = "; one deviation shaded") -> str:
    """What the lines and bands are; a single seed has no band."""
    counts = {len(cell.runs) for cell in cells if cell.runs}
    text = "One seed." if counts == {1} else f"Mean over {seeds_range(counts)}{deviation}."
    if remark := shared_mark(cells):
        return f"{text} Not the full protocol: {remark}."
    marked = any(cell.mark for cell in cells)
    return text + (
        " Curves marked in the legend did not follow the full protocol." if marked else ""
    )


def _accuracy_by_rate(table: Table) -> ReportFigure | None:
    """Final accuracy over conditions that differ only in the rate: "clean", "sym_0.2" ..."""
    if not table.spec.rows_span_rates:
        return None
    shown = [
        (cell, (rate, measured))
        for cell in table.cells.values()
        if (rate := _symmetric_rate(cell.column)) is not None
        and (measured := cell.measured("final")) is not None
    ]
    cells = [cell for cell, _ in shown]
    remark = shared_mark(cells)
    points: dict[str, list[tuple[float, Measured]]] = {}
    looks = {}
    for cell, point in shown:
        name, marked = label(table, cell, remark), cell.mark not in ("", remark)
        points.setdefault(name, []).append(point)
        looks[name] = dataclasses.replace(look(table, cell), fill="none" if marked else "full")
    if len({rate for found in points.values() for rate, _ in found}) < 2:
        return None
    figure, axes = plots.panels(1)
    plots.error_bars(axes[0], points, looks)
    return ReportFigure(
        name=_file_name(f"table_{table.name}_accuracy_by_rate"),
        title=f"{table.heading}: final test accuracy by rate of symmetric noise",
        caption=seeds_caption(cells, deviation="; one deviation as bars"),
        table=table.name,
        figure=plots.finish(figure, axes, remark=remark),
    )


def _symmetric_rate(run: str) -> float | None:
    kind = run.rpartition("_")[0]
    return rate_of(run) if kind in ("", "sym", "symmetric", "noise") else None


def _edfs(table: Table) -> ReportFigure | None:
    """h(p) of every scheme in the configs of a table."""
    found = schemes.by_name([run for cell in table.cells.values() for run in cell.runs])
    edfs = {name: scheme.edf for name, scheme in found.items() if scheme.edf is not None}
    if not edfs:
        return None
    used = {
        name: [key for key, cell in table.cells.items() if any(map(scheme.is_of, cell.runs))]
        for name, scheme in found.items()
    }
    figure, axes = plots.panels(1)
    plots.densities(axes[0], edfs)
    return ReportFigure(
        name=_file_name(f"table_{table.name}_edfs"),
        title=f"{table.heading}: the emphasis density functions used",
        caption="h over p (Eq. 8). "
        + ". ".join(f"{name}: {listing(keys, table.wanted)}" for name, keys in used.items())
        + ".",
        table=table.name,
        figure=plots.finish(figure, axes),
    )


def _heading(table: Table, condition: str) -> str:
    name = f"{table.heading}, {_condition(table, condition)}"
    return f"{name} ({table.spec.figures})" if table.spec.figures else name


def _condition(table: Table, condition: str) -> str:
    return f"{table.head} {condition}" if table.spec.methods_are_columns else condition


def _file_name(text: str) -> str:
    return re.sub(r"[^\w.+-]", "_", text)
