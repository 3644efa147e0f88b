"""Prepared data are read without TensorFlow; what is missing is said with its command."""

import subprocess
import sys

import pytest

from dm_jax.data import prepared

READ = """
import sys
from dm_jax import data
from dm_jax.data.records import Records
from dm_jax.data.stream import Batching, train_stream
dataset = data.load("tfds:tiny_cifar", data_dir=sys.argv[1])
source = Records("tiny_cifar", "train", sys.argv[1])
next(train_stream(source, Batching(batch_size=4, resize=8, crop=8), seed=0))
assert len(dataset.train) == len(source) == 24
assert "tensorflow" not in sys.modules
"""


def test_loading_and_streaming_never_import_tensorflow(tiny_cifar):
    subprocess.run([sys.executable, "-c", READ, tiny_cifar], check=True, timeout=120)


def test_what_is_not_prepared_names_its_command(tfds, tmp_path):
    command = rf"python -m experiments\.prepare cifar10 --data_dir={tmp_path}`"
    with pytest.raises(FileNotFoundError, match=command):
        prepared.builder("cifar10", str(tmp_path))
    for name in prepared.OWN_BUILDERS:
        with pytest.raises(FileNotFoundError, match=rf"prepare {name} .*--manual_dir=DIR"):
            prepared.builder(name, str(tmp_path))


def test_another_file_format_is_not_prepared(tfds, tiny_cifar, tmp_path):
    import shutil

    shutil.copytree(f"{tiny_cifar}/tiny_cifar", tmp_path / "tiny_cifar")
    info = tmp_path / "tiny_cifar" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(FileNotFoundError, match=r"as array_record files \(but as tfrecord\)"):
        prepared.builder("tiny_cifar", str(tmp_path))


def test_an_unknown_name_gives_the_nearest(tfds, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        prepared.builder("cifr10", str(tmp_path))
