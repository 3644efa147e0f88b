"""The benchmark of data runs, on few and small images."""

import pytest
from PIL import Image

from experiments.benchmarks import data


def test_rates_are_of_the_same_files(tmp_path):
    pytest.importorskip("cv2", reason="OpenCV is not installed")
    paths = data.write_photographs(tmp_path, (64, 48), 3)
    assert [Image.open(path).size for path in paths] == [(48, 64)] * 3
    plain, streamed = data.jpeg_rates((64, 48), images=5, rounds=1)
    assert plain > 0
    assert streamed > 0


def test_a_step_is_timed_with_and_without_augmentation():
    ready, whole = data.step_seconds("mlp", batch_size=2, rounds=1)
    assert ready > 0
    assert whole > 0
