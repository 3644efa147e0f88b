"""Builds everything that a run needs before its first step from its config."""

import dataclasses
import typing
import warnings

import jax
import numpy as np

from dm_jax import data, noise
from dm_jax.data import StreamedDataset
from dm_jax.train import config as config_lib
from dm_jax.train import setup as setup_lib
from dm_jax.train.sampler import Sampler


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class ArrayExperiment(setup_lib.Experiment):
    """A resolved config of a data set in memory.

    Attributes:
      validation_corruption: of the labels of the held-out part, or None.
      sampler: selects the rows of the training set for each step.
    """

    dataset: data.Dataset
    validation_corruption: noise.Corruption | None
    sampler: Sampler

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of a batch of one training input."""
        inputs = self.dataset.train.inputs
        return jax.ShapeDtypeStruct((1, *inputs.shape[1:]), inputs.dtype)

    @property
    def train_labels(self) -> np.ndarray:
        """The given label of every training row, int32 [n] (validation labels if held out)."""
        labels = self.dataset.train.labels.copy()
        for corruption in (self.corruption, self.validation_corruption):
            if corruption is not None:
                labels[corruption.kept] = corruption.labels
        return labels

    @property
    def evaluated(self) -> dict[str, tuple[str, np.ndarray]]:
        """The sets to evaluate, as {name: (split of the data set, rows)}."""
        sets = {"train": ("train", self.corruption.kept)}
        if self.config.data.test:
            sets["test"] = ("test", np.arange(len(self.dataset.test)))
        if self.validation_corruption is not None:
            sets["validation"] = ("train", self.validation_corruption.kept)
        return sets


@dataclasses.dataclass(frozen=True, eq=False, repr=False)
class StreamedExperiment(setup_lib.Experiment):
    """A resolved config of a streamed data set."""

    dataset: StreamedDataset

    @property
    def example(self) -> jax.ShapeDtypeStruct:
        """Shape and dtype of a batch of one cropped image."""
        side = self.config.data.crop
        return jax.ShapeDtypeStruct((1, side, side, 3), np.uint8)


def load(name: str, data_dir: str) -> data.Dataset | StreamedDataset:
    """Loads a data set, or opens a streamed one; `data_dir` "" is TFDS's default."""
    loader = data.load_streamed if data.is_streamed(name) else data.load
    return loader(name, data_dir=data_dir or None)


@typing.overload
def experiment(config: config_lib.Config, dataset: data.Dataset) -> ArrayExperiment: ...


@typing.overload
def experiment(
    config: config_lib.Config, dataset: data.Dataset | StreamedDataset | None = None
) -> ArrayExperiment | StreamedExperiment: ...


def experiment(
    config: config_lib.Config, dataset: data.Dataset | StreamedDataset | None = None
) -> ArrayExperiment | StreamedExperiment:
    """Loads and corrupts the data and resolves the config; the network is not initialised.

    Args:
      config: the run's config.
      dataset: the data set, if it is already loaded.

    Returns:
      All that a training needs: its data, labels, network, loss, optimiser and plan.

    Raises:
      TypeError: a config that was not parsed, or a dataset of another type.
      ValueError: a config that does not fit the data or itself; see the message.
    """
    check_parsed(config)
    if dataset is None:
        dataset = load(config.data.name, config.data.data_dir)
    if isinstance(dataset, StreamedDataset):
        return _streamed(config, dataset)
    if not isinstance(dataset, data.Dataset):
        raise TypeError(
            f"dataset must be a data.Dataset or data.StreamedDataset, got {type(dataset).__name__}"
        )
    if config.data.augment != "none" and dataset.train.inputs.ndim == 2:
        raise ValueError(f"config.data.augment is for images; {dataset.name} has features")
    corruption, validation_corruption = draw_corruptions(config, dataset)
    _check_counts(config, dataset, corruption, validation_corruption)
    setup = setup_lib.resolve(
        config,
        dataset,
        corruption,
        examples=len(corruption.kept),
        augment=config.data.augment == "crop_flip",
    )
    sampler = Sampler(corruption.kept, config.train.batch_size, config.seed, config.data.last_batch)
    return ArrayExperiment(
        **vars(setup), validation_corruption=validation_corruption, sampler=sampler
    )


def check_parsed(config: config_lib.Config) -> None:
    """Raises TypeError for a ConfigDict or a dict."""
    if not isinstance(config, config_lib.Config):
        raise TypeError(
            f"config must be a train.Config, got {type(config).__name__}; use "
            "train.Config.parse(config)"
        )


def _check_counts(
    config: config_lib.Config,
    dataset: data.Dataset,
    training: noise.Corruption,
    validation: noise.Corruption | None,
) -> None:
    """Raises ValueError if there is nothing to train on or nothing to evaluate.

    Warns of batches that are larger than the training set.
    """
    held_out = 0 if validation is None else len(validation.kept)
    if not len(training.kept) or (validation is not None and not held_out):
        raise ValueError(
            f"config.data.validation {config.data.validation:g} of {dataset.name} leaves "
            f"{len(training.kept)} examples to train on and holds {held_out} out; each needs at "
            "least one"
        )
    size = config.train.batch_size
    if config.data.last_batch == "wrap" and size > len(training.kept):
        warnings.warn(
            f"config.train.batch_size {size} is larger than the training set of "
            f"{len(training.kept)}: a batch has examples more than once (not with "
            "config.data.last_batch='mask')",
            stacklevel=3,
        )
    if config.data.test and not len(dataset.test):
        raise ValueError(f"{dataset.name} has no test examples; set config.data.test=False")


def _streamed(config: config_lib.Config, dataset: StreamedDataset) -> StreamedExperiment:
    """Streamed images are cropped and flipped by the stream and keep the data set's labels."""
    required = {
        "data.augment": "crop_flip",
        "data.last_batch": "wrap",
        "data.validation": 0.0,
        "noise.kind": "symmetric",
        "noise.rate": 0.0,
        "noise.imbalance": "none",
        "noise.ratio": 1.0,
    }
    for path, value in required.items():
        found = config_lib.get(config, path)
        if found != value:
            raise ValueError(
                f"config.{path} must be {value!r} for {dataset.name}, which is streamed; "
                f"got {found!r}"
            )
    if config.data.test and "test" not in dataset.held_out and dataset.retrieval_test is None:
        raise ValueError(
            f"{dataset.name} has no test images with labels (of the splits only 'test' and "
            "'validation' are evaluated); set config.data.test=False"
        )
    unread = np.zeros(0, np.int32)  # the labels come with the images
    corruption = noise.Corruption(unread, unread, unread, kind="none", rate=0.0, seed=0)
    setup = setup_lib.resolve(
        config, dataset, corruption, examples=len(dataset.train), augment=False
    )
    return StreamedExperiment(**vars(setup))


def draw_corruptions(
    config: config_lib.Config, dataset: data.Dataset
) -> tuple[noise.Corruption, noise.Corruption | None]:
    """The corruptions of the training and the held-out part (None if nothing is held out)."""
    whole = noise.corrupt(
        dataset.train.labels,
        num_classes=dataset.num_classes,
        superclasses=dataset.superclasses,
        inputs=dataset.train.inputs,
        human_labels=dataset.human_labels,
        **dataclasses.asdict(config.noise),
    )
    if not config.data.validation:
        return whole, None
    return noise.hold_out(
        whole,
        dataset.train.labels,
        fraction=config.data.validation,
        seed=config.noise.seed,
        validation_labels=config.data.validation_labels,
    )
