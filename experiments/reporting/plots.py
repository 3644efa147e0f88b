"""Drawing primitives; lines differ in colour, dash and marker, so that greyscale works too."""

import dataclasses
import math
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator

from dm_jax import EDF
from experiments.reporting.measured import Curve, Measured

# Okabe and Ito's colour-blind-safe palette, but for its yellow, too faint for a line; then grey and
# Tol's wine, so that the nine losses of a table differ.
COLOURS = (
    "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#E69F00", "#56B4E9", "#808080",
    "#882255",
)  # fmt: skip
DASHES = ("-", (0, (5, 1.5)), (0, (1, 1.2)), (0, (6, 1.5, 1, 1.5)))
MARKERS = "os^DvPX<>*"
STYLE: dict[Any, Any] = {
    "axes.grid": True,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlesize": "medium",
    "font.size": 9,
    "grid.alpha": 0.3,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.4,
    "lines.markersize": 4,
    "svg.fonttype": "none",  # text stays text: a tenth of the size, and readable to screen readers
    "svg.hashsalt": "dm_jax",  # the same results give the same file
}
MARKED = 8  # markers per line
LETTERS, HANDLE = 11, 6  # of a legend: letters per inch, and the width of a line sample in letters
LINE_HEIGHT = 0.22  # of a legend, in inches
FAR_ABOVE = 20  # times the median: on a linear axis, the rest would collapse


@dataclasses.dataclass(frozen=True)
class Look:
    """How one line looks, in every figure of a table."""

    colour: str
    dash: str | tuple
    marker: str
    fill: str = "full"

    @property
    def style(self) -> dict[str, Any]:
        """As matplotlib's keywords."""
        return {
            "color": self.colour,
            "linestyle": self.dash,
            "marker": self.marker,
            "fillstyle": self.fill,
        }

    @classmethod
    def number(cls, index: int) -> "Look":
        """The look of the line with this number; the first 180 differ."""
        return cls(
            COLOURS[index % len(COLOURS)],
            DASHES[index % len(DASHES)],
            MARKERS[index % len(MARKERS)],
        )


@dataclasses.dataclass(frozen=True)
class LabelledCurve:
    """A labelled series."""

    label: str
    curve: Curve
    look: Look


def panels(count: int) -> tuple[Figure, list[Axes]]:
    """A figure with `count` panels, at most three of them side by side."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(max(5.2, 3.7 * columns), 3.2 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).ravel().tolist()
    for unused in axes[count:]:
        unused.remove()
    return figure, axes[:count]


def finish(figure: Figure, axes: Sequence[Axes], *, remark: str = "") -> Figure:
    """Adds one legend below all panels, headed by a remark about all lines."""
    entries: dict[str, Any] = {}
    for panel in axes:
        handles, labels = panel.get_legend_handles_labels()
        entries |= dict(zip(labels, handles, strict=True))
    width = int(figure.get_figwidth() * LETTERS)
    texts = [textwrap.fill(label, width - HANDLE) for label in entries]
    title = textwrap.fill(remark, width)
    widest = max((len(line) for text in texts for line in text.split("\n")), default=1)
    columns = max(1, min(len(texts), width // (widest + HANDLE)))
    figure.legend(
        list(entries.values()), texts, loc="outside lower center", ncols=columns, title=title
    )
    # Keep the panels as high as they are with a legend of two lines.
    lines = math.ceil(len(texts) / columns) * max((t.count("\n") + 1 for t in texts), default=0)
    lines += title.count("\n") + 1 if title else 0
    figure.set_figheight(figure.get_figheight() + max(0, lines - 2) * LINE_HEIGHT)
    return figure


def curves(
    axes: Axes, lines: Sequence[LabelledCurve], *, title: str, ylabel: str, highest: float
) -> None:
    """Draws series over training steps, with a band of one deviation if there are several seeds.

    Bands end at 0 and at `highest`, the largest value that is possible. The y axis is logarithmic
    if some values are far above the median.
    """
    for index, line in enumerate(lines):
        steps, mean = np.asarray(line.curve.steps), np.asarray(line.curve.mean)
        keep = _thinned(len(steps))
        spacing = max(1, len(keep) // MARKED)
        axes.plot(
            steps[keep],
            mean[keep],
            **line.look.style,
            markevery=(index * spacing // max(len(lines), 1), spacing),
            label=line.label,
        )
        deviation = np.asarray(line.curve.deviation)
        if deviation.any():
            low, high = np.clip([mean - deviation, mean + deviation], 0, highest)[:, keep]
            axes.fill_between(steps[keep], low, high, color=line.look.colour, alpha=0.12, lw=0)
    axes.set(title=title, xlabel="training step", ylabel=ylabel)
    means = np.concatenate([line.curve.mean for line in lines])
    if means.min() > 0 and means.max() > FAR_ABOVE * np.median(means):
        axes.set(yscale="log", ylim=(0.7 * means.min(), None))
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))


def error_bars(
    axes: Axes, points: dict[str, list[tuple[float, Measured]]], looks: dict[str, Look]
) -> None:
    """Draws, for each label, the accuracies measured at each noise rate; bars end at 0 and 100.

    A line is interrupted at a rate that only other lines have.
    """
    rates = sorted({rate for found in points.values() for rate, _ in found})
    for label, measured in points.items():
        own = [rate for rate, _ in measured]
        lacking = [rate for rate in rates if min(own) < rate < max(own) and rate not in own]
        gaps = [(rate, Measured(math.nan, None)) for rate in lacking]
        found = sorted(measured + gaps, key=lambda point: point[0])
        mean = np.array([number.mean for _, number in found])
        deviation = np.array([number.deviation or 0.0 for _, number in found])
        at, look = [rate for rate, _ in found], looks[label]
        bars = [np.minimum(deviation, mean), np.minimum(deviation, 100 - mean)]
        # Apart from the line, so that they do not hide its marker in the legend.
        axes.errorbar(at, mean, yerr=bars, fmt="none", ecolor=look.colour, capsize=2.5)
        axes.plot(at, mean, **look.style, label=label)
    axes.set(xlabel="symmetric noise rate", ylabel="final test accuracy (%)", xticks=rates)


def legend_text(text: str) -> str:
    """A text as a legend shows it: not as a formula, and not left out for its first "_"."""
    text = text.replace("$", r"\$")
    return f" {text}" if text.startswith("_") else text


def densities(axes: Axes, edfs: dict[str, EDF]) -> None:
    """Draws h(p) of each scheme (Eq. 8)."""
    p = np.linspace(0.0, 1.0, 201)
    for index, (label, edf) in enumerate(edfs.items()):
        axes.plot(
            p,
            np.asarray(edf.density(p)),
            **Look.number(index).style,
            markevery=(7 * index % 25, 25),
            label=legend_text(label),
        )
    axes.set(xlabel="p, the probability of the label", ylabel="h(p)", xlim=(0, 1))
    axes.set_ylim(bottom=0)


def _thinned(count: int) -> np.ndarray:
    """Indices of at most 250 points, including both ends."""
    return np.unique(np.linspace(0, count - 1, min(count, 250)).astype(int))
