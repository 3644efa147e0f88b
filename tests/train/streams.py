"""Small Clothing1M and MARS, prepared from generated files, and configs that train on them."""

import pathlib
from typing import Any

from configs import clothing1m, mars
from dm_jax.data import tfds_builders
from dm_jax.train import build, parallel
from dm_jax.train.config import Config
from dm_jax.train.run import make_engine
from tests.data.layouts import write_clothing1m, write_mars

PHOTOS = {
    "noisy_train_key_list.txt": 20,
    "clean_train_key_list.txt": 2,
    "clean_val_key_list.txt": 3,
    "clean_test_key_list.txt": 10,
}
TRAIN = [(1, 1, 4), (1, 2, 5), (7, 1, 6), (9, 2, 5)]
TEST = [(-1, 1, 1), (0, 2, 2), (2, 1, 2), (2, 3, 3), (4, 1, 1), (4, 2, 2), (4, 3, 3)]
QUERIES = [3, 5, 6]


def prepare_both(folder: pathlib.Path) -> str:
    """A data_dir with "clothing1m" and "mars"."""
    data_dir = str(folder / "tfds")
    photos = write_clothing1m(folder / "clothing1m", PHOTOS)
    frames = write_mars(folder / "mars", TRAIN, TEST, QUERIES)
    tfds_builders.prepare("clothing1m", data_dir=data_dir, manual_dir=str(photos))
    tfds_builders.prepare("mars", data_dir=data_dir, manual_dir=str(frames))
    return data_dir


# Small enough for the tests of a CPU; what is left is the protocol.
SMALL = {
    "data.resize": 20,
    "data.crop": 16,
    "model.name": "mlp",
    "model.pretrained": "",
    "train.batch_size": 8,
    "train.evaluate_batch": 4,
    "train.log_every": "2 steps",
    "train.evaluate_every": "3 steps",
    "train.checkpoint_every": "2 steps",
    "parallel.devices": 1,
}


def config(name: str, data_dir: str, **changes: Any) -> Config:
    """The config of "clothing1m" or "mars", small; changes read `train__batch_size=4`."""
    configs = {"clothing1m": clothing1m, "mars": mars}
    values = configs[name.removeprefix("stream:")].get_config("steps=6")
    settings = (
        SMALL
        | {"data.name": name}
        | {path.replace("__", "."): value for path, value in changes.items()}
    )
    for path, value in ({"data.data_dir": data_dir} | settings).items():
        group, _, key = path.rpartition(".")
        (values[group] if group else values)[key] = value
    return Config.parse(values)


def engine(built: build.StreamedExperiment):
    """Its engine, on the devices of its config."""
    settings = built.config.parallel
    return make_engine(built, parallel.make_mesh(settings), settings.mode)
