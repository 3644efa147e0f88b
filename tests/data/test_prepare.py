"""Preparing by the names of the catalogue."""

import pytest

from dm_jax.data import prepare


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

        def __init__(self, name, **settings):
            asked.append((name, settings))

        def download_and_prepare(self, download_config):
            asked.append(download_config.manual_dir)

    monkeypatch.setattr(tfds, "builder", Builder)
    assert str(prepare.prepare(name, data_dir="d", manual_dir="m")) == "/there"
    assert asked == [(source, {"data_dir": "d", "file_format": "array_record"}), "m"]


def test_an_unknown_name_gives_the_nearest(tfds, tmp_path):
    with pytest.raises(ValueError, match="did you mean 'clothing1m'"):
        prepare.prepare("clothing1M", data_dir=str(tmp_path))
