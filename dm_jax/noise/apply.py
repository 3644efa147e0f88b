"""Corrupting labels, holding out a validation part, and transition matrices."""

import pathlib
from collections.abc import Callable, Mapping

import numpy as np

from dm_jax import draws, errors
from dm_jax.labels import as_labels
from dm_jax.noise import class_conditional
from dm_jax.noise import imbalance as imbalance_lib
from dm_jax.noise.corruption import Corruption
from dm_jax.noise.existing_labels import from_file, human
from dm_jax.noise.instance_dependent import instance
from dm_jax.noise.request import Request
from dm_jax.split import stratified_split

_KINDS: dict[str, Callable[[Request], np.ndarray]] = {
    "symmetric": class_conditional.symmetric,
    "symmetric_any": class_conditional.symmetric_any,
    "pair": class_conditional.pair,
    "asymmetric_cifar10": class_conditional.asymmetric_cifar10,
    "superclass_swap": class_conditional.superclass_swap,
    "superclass_next": class_conditional.superclass_next,
    "block_swap": class_conditional.block_swap,
    "block_next": class_conditional.block_next,
    "instance": instance,
    "matrix": class_conditional.matrix,
}
# Kinds with an argument after a colon.
_WITH_ARGUMENT: dict[str, Callable[[Request], np.ndarray]] = {
    "human": human,
    "file": from_file,
    "matrix": class_conditional.matrix,
}


def kinds() -> tuple[str, ...]:
    """The kinds of noise that `corrupt` accepts; NAME and PATH are placeholders."""
    return (*_KINDS, "human:NAME", "file:PATH", "matrix:PATH")


def corrupt(
    labels: np.ndarray,
    *,
    num_classes: int,
    kind: str = "symmetric",
    rate: float = 0.0,
    seed: int = 0,
    superclasses: np.ndarray | None = None,
    inputs: np.ndarray | None = None,
    human_labels: Mapping[str, np.ndarray] | None = None,
    matrix: np.ndarray | None = None,
    imbalance: str = "none",
    ratio: float = 1.0,
) -> Corruption:
    """Corrupts the labels of a training set.

    All examples are corrupted, then the imbalance keeps some of them by true class, so neither the
    imbalance nor its ratio changes the given label of a kept example.

    Args:
      labels: true labels, int [n] (or whole floats) in 0 .. num_classes - 1.
      num_classes: C.
      kind: one of `kinds()`, such as "symmetric", "human:worst" or "matrix:T.npy".
      rate: probability r in [0, 1]; see the docstring of each kind for its meaning.
      seed: integer of at least 0; the same arguments always give the same `Corruption`.
      superclasses: int [C], class to superclass; for the kinds that use them.
      inputs: [n, ...] uint8 images or float features; for kind "instance".
      human_labels: name to int [n]; for kind "human:NAME".
      matrix: [C, C], the probability of each given class (column) by true class; for kind "matrix".
      imbalance: "none", "ratio", "long_tail" or "step".
      ratio: of the imbalance, at least 1; see the docstring of each imbalance for its meaning.

    Returns:
      The given labels of the kept examples, which of them are wrong, and how they were drawn.

    Raises:
      TypeError: an argument of the wrong type, such as labels or a rate that is not a number.
      FileNotFoundError: the file of kind "file:PATH" or "matrix:PATH" does not exist.
      ValueError: an invalid argument; names it, its value and what is accepted.
    """
    errors.check_integer("num_classes", num_classes, minimum=1)
    num_classes = int(num_classes)  # of NumPy, it could overflow
    true = as_labels(labels, num_classes)
    noise, argument = _parse(kind)
    if matrix is not None and kind != "matrix":
        raise ValueError(f"matrix is for kind 'matrix', got kind {kind!r}")
    errors.check_number("rate", rate)
    if not 0.0 <= rate <= 1.0:
        raise ValueError(f"rate must be in [0, 1], got {rate}")
    flip, choice = draws.generator(seed, "noise").random((true.size, 2)).T
    request = Request(
        labels=true,
        num_classes=num_classes,
        rate=rate,
        seed=seed,
        flip=flip,
        choice=choice,
        argument=argument,
        superclasses=superclasses,
        inputs=inputs,
        human_labels=human_labels,
        matrix=matrix,
    )
    given = noise(request)
    kept = imbalance_lib.keep(true, num_classes, imbalance=imbalance, ratio=ratio, seed=seed)
    return Corruption(
        labels=given[kept],
        kept=kept,
        changed=given[kept] != true[kept],
        kind=_recorded(kind),
        rate=float(rate),
        seed=int(seed),
        imbalance=imbalance,
        ratio=float(ratio),
    )


def _parse(kind: str) -> tuple[Callable[[Request], np.ndarray], str]:
    """The function of a kind, and the argument after its colon."""
    if not isinstance(kind, str):
        raise TypeError(f"kind must be a string, got {kind!r}")
    name, colon, argument = kind.partition(":")
    known = _WITH_ARGUMENT if colon else _KINDS
    if name not in known or (colon and not argument):
        raise errors.unknown("noise kind", kind, kinds())
    return known[name], argument


def _recorded(kind: str) -> str:
    """The kind without the folder of its file, so that the hash is the same on all machines."""
    name, _, path = kind.partition(":")
    of_file = path and name in ("file", "matrix")
    return f"{name}:{pathlib.PurePath(path).name}" if of_file else kind


def hold_out(
    corruption: Corruption,
    true_labels: np.ndarray,
    *,
    fraction: float = 0.2,
    seed: int,
    validation_labels: str = "clean",
) -> tuple[Corruption, Corruption]:
    """Splits a corruption into a training and a validation part, stratified by true class.

    The protocol of the paper: train on 80% of the corrupted training data, select on the other 20%
    with clean labels, then train on all of it. The parts come from the corruption of the whole set,
    so an example has the same given label in the search and in the final training.

    Args:
      corruption: of the training set.
      true_labels: int [n], of the whole training set, before the corruption.
      fraction: share of the kept examples held out, in [0, 1].
      seed: of the split.
      validation_labels: "clean" (the true ones) or "noisy" (the given ones).

    Returns:
      (training part, validation part); `part` of each records the fraction, seed and labels, and
      `kept` still indexes the original training set.

    Raises:
      TypeError: a fraction that is not a number, or a seed that is not an integer.
      ValueError: fraction outside [0, 1], a negative seed, unknown validation_labels, or
        true_labels that are not those that were corrupted.
    """
    if validation_labels not in ("clean", "noisy"):
        raise errors.unknown("validation_labels", validation_labels, ("clean", "noisy"))
    true = _true_labels_of_kept(corruption, true_labels)
    train, held = stratified_split(true, fraction=fraction, seed=seed)
    how = f"fraction={float(fraction)}, seed={seed}"
    of = "" if corruption.part == "all" else f" of {corruption.part}"
    training = corruption.take(train, part=f"training({how}){of}")
    validation = corruption.take(held, part=f"validation({how}, labels={validation_labels}){of}")
    if validation_labels == "clean":
        validation = validation.cleaned(true[held])
    return training, validation


def _true_labels_of_kept(corruption: Corruption, true_labels: np.ndarray) -> np.ndarray:
    true_labels = np.asarray(true_labels)
    needed = int(corruption.kept.max(initial=-1)) + 1
    if true_labels.ndim != 1 or true_labels.size < needed:
        raise ValueError(
            "true_labels must be those of the whole training set, [n] with n of at least "
            f"{needed}, got {list(true_labels.shape)}"
        )
    true = true_labels[corruption.kept]
    if not np.array_equal(true != corruption.labels, corruption.changed):
        raise ValueError(
            "true_labels are not those of this corruption: they differ from its labels in other "
            "rows than those it changed"
        )
    return true


def transition_matrix(true: np.ndarray, given: np.ndarray, num_classes: int) -> np.ndarray:
    """The share of the examples of each true class (row) that got each label (column).

    Args:
      true: int [n] true labels.
      given: int [n] labels after the corruption.
      num_classes: C.

    Returns:
      float64 [C, C]; every row sums to one, or is zero where a class has no examples.

    Raises:
      TypeError: num_classes is not an integer.
      ValueError: num_classes below 1, a label out of range, or different numbers of labels.
    """
    errors.check_integer("num_classes", num_classes, minimum=1)
    num_classes = int(num_classes)
    true, given = as_labels(true, num_classes), as_labels(given, num_classes)
    if true.shape != given.shape:
        raise ValueError(f"given must have as many labels as true, {true.size}, got {given.size}")
    cells = true.astype(np.int64) * num_classes + given
    counts = np.bincount(cells, minlength=num_classes**2).reshape(num_classes, num_classes)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
