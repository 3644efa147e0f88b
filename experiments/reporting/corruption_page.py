"""Writes a page about a corruption: settings, actual rate, counts per class, pictures."""

import pathlib

import matplotlib
import numpy as np

from dm_jax import noise
from dm_jax.data import Dataset
from dm_jax.noise import Corruption
from experiments.reporting import corruption_pictures
from experiments.reporting.markdown import code, escaped


def write(dataset: Dataset, corruption: Corruption, folder: pathlib.Path) -> list[str]:
    """Writes corruption.md and its pictures into a folder; returns their names, the page first.

    The sheet of images is left out if no label was changed or the inputs are not images.
    """
    pictures = {
        "transition_matrix.png": corruption_pictures.draw_transitions,
        "class_counts.png": corruption_pictures.draw_counts,
    }
    if dataset.train.inputs.ndim == 4 and corruption.changed.any():
        pictures["mislabelled.png"] = corruption_pictures.draw_examples
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "mislabelled.png").unlink(missing_ok=True)  # of another corruption
    with matplotlib.rc_context({"text.parse_math": False}):  # a "$" in a name is a dollar
        for name, draw in pictures.items():
            draw(dataset, corruption, folder / name)
    page = _markdown(dataset, corruption, list(pictures))
    (folder / "corruption.md").write_text(page, encoding="utf-8")
    return ["corruption.md", *pictures]


def _markdown(dataset: Dataset, corruption: Corruption, pictures: list[str]) -> str:
    title = escaped(f"{dataset.name}: {corruption.kind}")
    lines = [f"# {title}", "", *_facts(dataset, corruption), ""]
    lines += [f"![{name.removesuffix('.png').replace('_', ' ')}]({name})\n" for name in pictures]
    return "\n".join([*lines, *_classes(dataset, corruption), ""])


def _facts(dataset: Dataset, corruption: Corruption) -> list[str]:
    rows = {
        "kind": escaped(corruption.kind),
        "requested rate": f"{corruption.rate:g}",
        "actual rate": f"{corruption.actual_rate:.4f}",
        "changed labels": f"{corruption.changed.sum():,} of {corruption.labels.size:,}",
        "training examples before": f"{len(dataset.train):,}",
        "imbalance": f"{corruption.imbalance}, ratio {corruption.ratio:g}",
        "part": corruption.part,
        "seed": str(corruption.seed),
        "SHA-256": code(corruption.hash),
    }
    return ["| | |", "|---|---|", *(f"| {name} | {value} |" for name, value in rows.items())]


def _classes(dataset: Dataset, corruption: Corruption) -> list[str]:
    """One row per class: counts before and after, and its most frequent wrong label."""
    before, classes = dataset.train.labels, dataset.num_classes
    true = before[corruption.kept]
    counts = [np.bincount(x, minlength=classes) for x in (before, true, corruption.labels)]
    matrix = noise.transition_matrix(true, corruption.labels, classes)
    lines = [
        "| class | before | kept | with this label after | mislabelled | mostly as |",
        "|---|---:|---:|---:|---:|---|",
    ]
    names = [escaped(name) for name in dataset.class_names]
    for label, name in enumerate(names):
        columns = " | ".join(f"{count[label]:,}" for count in counts)
        wrong = np.where(np.arange(classes) == label, 0.0, matrix[label])
        mostly = names[wrong.argmax()] if wrong.any() else ""
        share = f" ({100 * wrong.max():.1f}%)" if mostly else ""
        lines.append(f"| {name} | {columns} | {100 * wrong.sum():.1f}% | {mostly}{share} |")
    return lines
