"""Existing noisy labels, from annotators or a file; nothing is drawn."""

import pathlib

import numpy as np

from dm_jax import errors, npz
from dm_jax.labels import as_labels
from dm_jax.noise.request import Request


def human(request: Request) -> np.ndarray:
    """Human labels, "human:NAME" with the name of one of the data set's label sets.

    CIFAR-N (Wei et al. 2022): CIFAR-10 has aggregate, random1, random2, random3 and worst (true
    noise rates 9.0, 17.2, 18.1, 17.6 and 40.2%), CIFAR-100 has fine (40.2%). `rate` must be 0.
    """
    if not request.human_labels:
        raise ValueError(
            f"kind 'human:{request.argument}' needs human labels; this data set has none"
        )
    if request.argument not in request.human_labels:
        raise errors.unknown("human label set", request.argument, request.human_labels)
    return _checked(request.human_labels[request.argument], request, f"human:{request.argument}")


def from_file(request: Request) -> np.ndarray:
    """Labels from "file:PATH": an .npy of integers [n], or an .npz with such an array `labels`.

    One label per training example, in order. The file sets the true noise rate; `rate` must be 0.
    A `Corruption` records the file's name without its folder.
    """
    labels = npz.read(pathlib.Path(request.argument).expanduser(), ["labels"])["labels"]
    return _checked(labels, request, f"file:{request.argument}")


def _checked(values: np.ndarray, request: Request, kind: str) -> np.ndarray:
    request.require_rate_zero(kind, "labels")
    given = as_labels(values, request.num_classes, what=kind)
    if given.size != request.labels.size:
        raise ValueError(f"{kind} has {given.size} labels, the training set {request.labels.size}")
    return given
