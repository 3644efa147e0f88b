"""Pictures of a corruption: transition matrix, class counts, and mislabelled images."""

import pathlib

import numpy as np
from matplotlib.figure import Figure

from dm_jax import noise
from dm_jax.data import Dataset
from dm_jax.noise import Corruption

# With more classes than this, names shrink and cells have no numbers.
_READABLE = 20
_BLUE, _GREY, _RED = "#3b6ea5", "#b8bec6", "#b5322b"


def draw_transitions(dataset: Dataset, corruption: Corruption, path: pathlib.Path) -> None:
    """Draws the transition matrix as a heat map: true class (row) to given label (column).

    Colour shows the wrong labels; the diagonal is grey, because it would outshine them. Classes are
    ordered by superclass, if there are any, with lines between the superclasses.
    """
    order = _order(dataset)
    true = dataset.train.labels[corruption.kept]
    matrix = noise.transition_matrix(true, corruption.labels, dataset.num_classes)
    matrix = matrix[np.ix_(order, order)]
    wrong = np.ma.masked_array(matrix, np.eye(len(order), dtype=bool))
    few = len(order) <= _READABLE
    figure = Figure(figsize=(8.5, 7) if few else (14.5, 13), layout="constrained")
    axes = figure.add_subplot(facecolor=_GREY)
    image = axes.imshow(100 * wrong, cmap="Reds", vmin=0, vmax=max(100 * wrong.max(), 1e-9))
    figure.colorbar(image, label="wrong labels, % of the true class", shrink=0.8)
    if few:
        _write_cells(axes, matrix)
    _name_classes(axes, [dataset.class_names[label] for label in order], size=9 if few else 6)
    _separate(axes, dataset, order)
    axes.set(xlabel="given label", ylabel="true class", title=_title(dataset, corruption))
    figure.savefig(path, dpi=120)


def draw_counts(dataset: Dataset, corruption: Corruption, path: pathlib.Path) -> None:
    """Draws bars per class: examples before, those kept, and those with its label after."""
    true, classes = dataset.train.labels, dataset.num_classes
    bars = {
        "before": (true, _GREY),
        "kept, by true class": (true[corruption.kept], _BLUE),
        "kept, by given label": (corruption.labels, _RED),
    }
    few = classes <= _READABLE
    figure = Figure(figsize=(max(7.0, 0.9 * classes if few else 20.0), 4), layout="constrained")
    axes = figure.add_subplot()
    for place, (name, (labels, colour)) in enumerate(bars.items()):
        counts = np.bincount(labels, minlength=classes)
        axes.bar(np.arange(classes) + 0.27 * (place - 1), counts, 0.27, label=name, color=colour)
    axes.set_xticks(np.arange(classes), dataset.class_names, rotation=0 if few else 90)
    axes.tick_params(axis="x", labelsize=9 if few else 7, length=0)
    axes.set(ylabel="training examples", title=_title(dataset, corruption))
    axes.set_xlim(-0.7, classes - 0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)


def draw_examples(dataset: Dataset, corruption: Corruption, path: pathlib.Path) -> None:
    """Draws up to 40 mislabelled images of all classes with their given (red) and true labels."""
    true, columns = dataset.train.labels[corruption.kept], 8
    shown = _spread(np.flatnonzero(corruption.changed), true, 5 * columns)
    rows = -(-shown.size // columns)
    figure = Figure(figsize=(1.5 * columns, 1.85 * rows + 0.5), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in grid:
        axes.axis("off")
    for axes, position in zip(grid, shown, strict=False):
        axes.imshow(
            _shown(dataset.train.inputs[corruption.kept[position]]),
            cmap="gray_r",
            interpolation="nearest",
        )
        given, own = corruption.labels[position], true[position]
        axes.set_title(dataset.class_names[given], color=_RED, fontsize=10, pad=3)
        axes.text(
            0.5, -0.03, f"is {dataset.class_names[own]}", transform=axes.transAxes,
            ha="center", va="top", fontsize=9, color="#333333",
        )  # fmt: skip
    figure.suptitle(f"{_title(dataset, corruption)} (given label above, true class below)")
    figure.savefig(path, dpi=110)


def _shown(image: np.ndarray) -> np.ndarray:
    """An image [height, width, channels] for matplotlib: grey, or its first three channels."""
    return image[..., 0] if image.shape[-1] < 3 else image[..., :3]


def _title(dataset: Dataset, corruption: Corruption) -> str:
    settings = corruption.kind
    if not corruption.kind.startswith(("human:", "file:", "matrix:")):
        settings += f" {corruption.rate:g}"
    if corruption.imbalance != "none":
        settings += f", {corruption.imbalance} {corruption.ratio:g}"
    return f"{dataset.name}, {settings}: {100 * corruption.actual_rate:.1f}% wrong labels"


def _order(dataset: Dataset) -> np.ndarray:
    """Class ids by superclass, then by id."""
    groups = dataset.superclasses
    return np.argsort(np.zeros(dataset.num_classes) if groups is None else groups, kind="stable")


def _write_cells(axes, matrix: np.ndarray) -> None:
    """Writes the percentage in every cell that is not empty, in white on dark cells."""
    highest = max((matrix - np.diag(matrix.diagonal())).max(), 1e-9)
    for (row, column), share in np.ndenumerate(matrix):
        if share > 0:
            dark = row != column and share > 0.6 * highest
            axes.text(
                column, row, f"{100 * share:.1f}", ha="center", va="center",
                fontsize=8, color="white" if dark else "black",
            )  # fmt: skip


def _name_classes(axes, names: list[str], *, size: int) -> None:
    """Names the classes on both axes, vertically below if the names would overlap."""
    upright = len(names) * max(map(len, names)) > 60
    axes.set_xticks(range(len(names)), names, fontsize=size, rotation=90 if upright else 0)
    axes.set_yticks(range(len(names)), names, fontsize=size)
    axes.tick_params(length=0)


def _separate(axes, dataset: Dataset, order: np.ndarray) -> None:
    """Draws grey lines between superclasses."""
    if dataset.superclasses is None:
        return
    for edge in np.flatnonzero(np.diff(dataset.superclasses[order])) + 0.5:
        axes.axhline(edge, color=_GREY, linewidth=1)
        axes.axvline(edge, color=_GREY, linewidth=1)


def _spread(positions: np.ndarray, true: np.ndarray, count: int) -> np.ndarray:
    """At most `count` of the positions, evenly over the true classes."""
    by_class = positions[np.argsort(true[positions], kind="stable")]
    if by_class.size <= count:
        return by_class
    return by_class[(np.arange(count) + 0.5).astype(int) * by_class.size // count]
