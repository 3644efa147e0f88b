"""Preparing by the names of the catalogue; reading without TensorFlow, or what to run first."""

import subprocess
import sys
import types

import pytest

from dm_jax.data import tfds_builders

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
        tfds_builders.open_prepared("cifar10", str(tmp_path))
    for name in (*tfds_builders.OWN_BUILDERS, "cifar10_n", "cifar100_n"):
        with pytest.raises(FileNotFoundError, match=rf"prepare {name} .*--manual_dir=DIR"):
            tfds_builders.open_prepared(name, str(tmp_path))


def test_a_tilde_is_the_home_folder(tfds, tiny_cifar, monkeypatch):
    home, _, folder = str(tiny_cifar).rpartition("/")
    monkeypatch.setenv("HOME", home)
    found = tfds_builders.open_prepared("tiny_cifar", f"~/{folder}")
    assert found.data_path == tfds_builders.open_prepared("tiny_cifar", tiny_cifar).data_path
    assert tfds_builders.prepare("tfds:tiny_cifar", data_dir=f"~/{folder}").is_relative_to(home)


def test_another_file_format_is_not_prepared(tfds, tiny_cifar, tmp_path):
    import shutil

    shutil.copytree(f"{tiny_cifar}/tiny_cifar", tmp_path / "tiny_cifar")
    info = tmp_path / "tiny_cifar" / "1.0.0" / "dataset_info.json"
    info.write_text(info.read_text().replace("array_record", "tfrecord"))
    message = r"as array_record files \(but as tfrecord\); prepare it in another folder .*=FOLDER`"
    with pytest.raises(FileNotFoundError, match=message):
        tfds_builders.open_prepared("tiny_cifar", str(tmp_path))
    with pytest.raises(ValueError, match=message):
        tfds_builders.prepare("tfds:tiny_cifar", data_dir=str(tmp_path))


def test_opening_an_unknown_name_gives_the_nearest(tfds, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'cifar10'"):
        tfds_builders.open_prepared("cifr10", str(tmp_path))


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("imdb", "imdb_reviews"),
        ("vehicles10", "cifar100"),
        ("tfds:mnist", "mnist"),
        ("stream:imagenette", "imagenette"),
        ("cifar10_n", "cifar10_n"),
    ],
)
def test_a_name_of_the_catalogue_leads_to_its_tfds_data_set(tfds, monkeypatch, name, source):
    asked = []

    class Builder:
        data_path = "/there"
        info = types.SimpleNamespace(splits={})

        def __init__(self, name, **settings):
            asked.append((name, settings))

        def download_and_prepare(self, download_config):
            asked.append(download_config.manual_dir)

    monkeypatch.setattr(tfds, "builder", Builder)
    assert str(tfds_builders.prepare(name, data_dir="d", manual_dir="m")) == "/there"
    found, prepared = {"data_dir": "d"}, {"data_dir": "d", "file_format": "array_record"}
    assert asked == [(source, found), (source, prepared), "m"]


def test_preparing_an_unknown_name_gives_the_nearest(tfds, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'clothing1m'"):
        tfds_builders.prepare("clothing1M", data_dir=str(tmp_path))


def test_a_set_without_images_is_refused():
    class Reviews:
        name = "reviews"
        info = types.SimpleNamespace(supervised_keys=("text", "label"), features={"text": 0})

    with pytest.raises(ValueError, match=r"reviews is not an image classification data set.*text"):
        tfds_builders.supervised_features(Reviews())
