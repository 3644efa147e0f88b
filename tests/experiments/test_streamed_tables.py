"""Tables 3 and 4 from their specs to their results, on generated data in the official layouts."""

import dataclasses
import math

import pytest

from experiments import train as command
from experiments.progress import ProgressBar
from experiments.tables import cells, local, record, table_specs
from tests.train import streams

pytest.importorskip("tensorflow", reason="TensorFlow, which prepares data, is not installed")
pytest.importorskip("cv2", reason="OpenCV is not installed")


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory) -> str:
    return streams.prepare_both(tmp_path_factory.mktemp("streams"))


def _run(table, row, column, changes, folder):
    spec = dataclasses.replace(table_specs.get(table), changes=changes)
    cell = cells.Cell(table, row, column, 1, spec.cell_config(row, column, 1), 1.0, changes)
    ((_, summary),) = local.run_all([cell], folder, ProgressBar(quiet=True))
    if isinstance(summary, Exception):
        raise summary
    return cell, summary, record.result(cell, summary)


def _changes(data_dir, network, size):
    return (
        f"data.data_dir={data_dir},model={network},data.resize={size + 4},data.crop={size},"
        "train.batch_size=8,train.evaluate_batch=8,parallel.devices=1,steps=5,model.pretrained="
    )


@pytest.mark.parametrize(
    ("network", "size"),
    [("mlp", 16), pytest.param("resnet50", 32, marks=pytest.mark.long)],
)
def test_table_3_reports_accuracy_and_no_noise_that_nobody_knows(data_dir, tmp_path, network, size):
    changes = _changes(data_dir, network, size)
    cell, summary, result = _run("3", "DM(lambda=1,beta=2)", "accuracy", changes, tmp_path)
    assert result.status == "ok"
    assert result.final == pytest.approx(100 * summary.final("test_accuracy"))
    assert result.metrics.keys() == {"validation"}
    assert set(result.curves) == {"steps", "test_accuracy", "train_corrupted", "loss"}
    said = command.describe(cell.config, summary, "DIR")
    assert said.startswith("clothing1m with its own labels, DM(")
    assert "nan" not in said


@pytest.mark.parametrize(
    ("network", "size"),
    [("mlp", 16), pytest.param("inception_v2", 32, marks=pytest.mark.long)],
)
def test_table_4_reports_map_and_cmc(data_dir, tmp_path, network, size):
    cell, summary, result = _run("4", "CCE", "MARS", _changes(data_dir, network, size), tmp_path)
    assert result.final == pytest.approx(100 * summary.final("test_mAP"))
    assert result.metrics == {"CMC-1": pytest.approx(100 * summary.final("test_CMC-1"))}
    assert result.curves["test_mAP"][-1] == result.final
    assert math.isnan(summary.actual_rate)
    assert "mAP" in command.describe(cell.config, summary, "DIR")


def test_what_is_not_prepared_is_a_failed_cell_that_says_how(tmp_path):
    spec = dataclasses.replace(table_specs.get("4"), changes=f"data.data_dir={tmp_path}")
    cell = cells.Cell("4", "DM", "MARS", 1, spec.cell_config("DM", "MARS", 1))
    ((_, failure),) = local.run_all([cell], tmp_path, ProgressBar(quiet=True))
    result = record.result(cell, failure)
    assert result.status == "failed"
    assert "python -m experiments.prepare mars" in result.error
