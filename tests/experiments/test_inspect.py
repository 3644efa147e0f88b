"""The page of a corruption: right numbers, whole pictures, and a command that explains itself."""

import dataclasses
import pathlib
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from dm_jax import data, noise
from experiments.reporting import corruption_page
from experiments.reporting.corruption_pictures import _order, _spread

ROOT = pathlib.Path(__file__).parents[2]


def dataset(classes=10, shape=(8, 8, 1), superclasses=None):
    """Forty examples a class: noise images, or features where the shape has one axis."""
    labels = np.arange(40 * classes, dtype=np.int32) % classes
    values = np.random.default_rng(0).integers(0, 256, (labels.size, *shape))
    part = data.Split(values.astype(np.uint8 if len(shape) == 3 else np.float32), labels)
    return data.Dataset(
        name="made",
        train=part,
        test=part,
        class_names=tuple(f"class {i}" for i in range(classes)),
        superclasses=superclasses,
    )


def corrupt(made, **settings):
    return noise.corrupt(
        made.train.labels,
        num_classes=made.num_classes,
        superclasses=made.superclasses,
        inputs=made.train.inputs,
        **{"rate": 0.4, "seed": 1, **settings},
    )


def assert_picture(path):
    """A PNG that can be read whole, of a fair size, and not of one colour."""
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert min(pixels.shape) >= 200
    assert np.unique(pixels).size > 20


@pytest.mark.parametrize(
    ("made", "settings"),
    [
        (dataset(), {}),
        (dataset(shape=(6, 5, 3)), {"kind": "pair", "imbalance": "step", "ratio": 4}),
        (dataset(shape=(6, 5, 2)), {}),
        (dataset(shape=(1, 1, 3)), {}),
        (
            dataset(100, superclasses=np.arange(100, dtype=np.int32) % 20),
            {"kind": "superclass_next"},
        ),
    ],
    ids=["grey", "colour and imbalance", "two channels", "a pixel", "a hundred classes"],
)
def test_page_and_pictures_are_written(made, settings, tmp_path):
    names = corruption_page.write(made, corrupt(made, **settings), tmp_path / "new")
    pictures = ["transition_matrix.png", "class_counts.png", "mislabelled.png"]
    assert names == ["corruption.md", *pictures]
    for name in pictures:
        assert_picture(tmp_path / "new" / name)
    page = (tmp_path / "new" / "corruption.md").read_text()
    assert re.findall(r"\]\((.+\.png)\)", page) == pictures


def test_numbers_on_the_page_are_those_of_the_corruption(tmp_path):
    made = dataset()
    corruption = corrupt(made, kind="pair", imbalance="long_tail", ratio=8)
    corruption_page.write(made, corruption, tmp_path)
    page = (tmp_path / "corruption.md").read_text()
    changed, kept = corruption.changed.sum(), corruption.kept.size
    assert f"| changed labels | {changed} of {kept} |" in page
    assert f"| actual rate | {changed / kept:.4f} |" in page
    assert f"`{corruption.hash}`" in page
    true = made.train.labels[corruption.kept]
    for label in range(10):
        kept, after = (np.count_nonzero(labels == label) for labels in (true, corruption.labels))
        wrong = 100 * corruption.changed[true == label].mean()
        mostly = f"class {(label + 1) % 10} ({wrong:.1f}%)" if wrong else ""
        assert f"| class {label} | 40 | {kept} | {after} | {wrong:.1f}% | {mostly} |" in page


def test_names_are_not_taken_for_formulas_or_markup(tmp_path):
    names = ("$^$", "x|y", "<b>")
    made = dataclasses.replace(dataset(3), name="npz:a$^$.npz", class_names=names)
    corruption_page.write(made, corrupt(made), tmp_path)
    assert_picture(tmp_path / "class_counts.png")
    rows = (tmp_path / "corruption.md").read_text(encoding="utf-8").splitlines()
    assert sum(row.startswith(("| $^$ |", "| x\\|y |", "| &lt;b> |")) for row in rows) == 3


def test_features_have_no_sheet_of_images(tmp_path):
    made = dataset(classes=2, shape=(4,))
    names = corruption_page.write(made, corrupt(made), tmp_path)
    assert "mislabelled.png" not in names
    assert not (tmp_path / "mislabelled.png").exists()


def test_clean_labels_have_no_sheet_of_images(tmp_path):
    made = dataset()
    corruption_page.write(made, corrupt(made, rate=0.4), tmp_path)
    names = corruption_page.write(made, corrupt(made, rate=0.0), tmp_path)
    assert names == ["corruption.md", "transition_matrix.png", "class_counts.png"]
    assert not (tmp_path / "mislabelled.png").exists()


def test_sheet_is_spread_over_the_classes():
    true = np.repeat(np.arange(10), 100)
    shown = _spread(np.arange(0, 1000, 2), true, 40)
    assert np.bincount(true[shown]).tolist() == [4] * 10
    assert _spread(np.array([5, 3]), true, 40).tolist() == [5, 3]


def test_classes_stand_by_superclass_then_by_id():
    grouped = dataset(classes=4, superclasses=np.array([1, 0, 1, 0], np.int32))
    assert _order(grouped).tolist() == [1, 3, 0, 2]
    assert _order(dataset(classes=4)).tolist() == [0, 1, 2, 3]


def run(*arguments):
    command = [sys.executable, "-m", "experiments.inspect", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_command_inspects_a_config(tmp_path):
    done = run("--config=configs/digits.py", f"--workdir={tmp_path}", "--config.noise.rate=0.2")
    assert done.returncode == 0, done.stderr
    assert re.match(r"(19|2[01])\.\d\d% of the labels are wrong; see ", done.stdout)
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "class_counts.png",
        "corruption.md",
        "mislabelled.png",
        "transition_matrix.png",
    ]


def test_command_says_what_is_wrong_in_one_line(tmp_path):
    done = run(
        "--config=configs/digits.py", f"--workdir={tmp_path}", "--config.noise.kind=symetric"
    )
    assert done.returncode == 1
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("error: unknown noise kind 'symetric'; did you mean 'symmetric'?")
    assert "Traceback" not in done.stderr


def test_a_streamed_set_has_no_corruption_to_show(tmp_path):
    done = run("--config=configs/mars.py", f"--workdir={tmp_path}")
    assert done.returncode == 1
    assert done.stderr.strip().endswith(
        "mars is streamed with its own labels: there is no corruption to show"
    )
