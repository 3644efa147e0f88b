"""Label noise whose flips depend on the class alone (or on nothing).

Each kind is a function from a `Request` to the given labels.
"""

import pathlib

import numpy as np

from dm_jax import draws, npz
from dm_jax.noise.request import Request

# Classes in a block of consecutive ids: the size of CIFAR-100's superclasses.
BLOCK = 5


def symmetric(request: Request) -> np.ndarray:
    """With probability r one of the **other** classes, uniformly. True noise rate: r.

    Source: section 4 of the paper; Ghosh et al. 2017; Zhang and Sabuncu 2018. With C classes, this
    kind at rate r (C - 1) / C has the distribution of `symmetric_any` at r.
    """
    request.require_two_classes("symmetric")
    return request.flip_to(draws.others(request.choice, request.labels, request.num_classes))


def symmetric_any(request: Request) -> np.ndarray:
    """With probability r any class, uniformly, the true one included.

    True noise rate: r (C - 1) / C, so 36% for r = .4 and ten classes. Source: DivideMix
    (Li et al. 2020), ELR (Liu et al. 2020).
    """
    return request.flip_to(draws.integers(request.choice, request.num_classes))


def pair(request: Request) -> np.ndarray:
    """With probability r the next class, or 0 after C - 1. True noise rate: r.

    Source: Co-teaching (Han et al. 2018), "pair flipping".
    """
    request.require_two_classes("pair")
    return request.flip_to((request.labels + 1) % request.num_classes)


def asymmetric_cifar10(request: Request) -> np.ndarray:
    """With probability r truck to automobile, bird to airplane, deer to horse, cat to dog and back.

    True noise rate: r on five of the ten classes, so r / 2 on CIFAR-10. Source: Patrini et al.
    2017. The class ids are CIFAR-10's; on other data of ten classes the same ids are mapped.
    """
    if request.num_classes != 10:
        raise ValueError(f"kind 'asymmetric_cifar10' needs 10 classes, got {request.num_classes}")
    target = np.arange(10)
    target[[9, 2, 4, 3, 5]] = [1, 0, 7, 5, 3]
    return request.flip_to(target[request.labels])


def superclass_swap(request: Request) -> np.ndarray:
    """With probability r swaps the labels of two classes, drawn once in each superclass.

    True noise rate: r on two classes of each superclass, so 2r / 5 on CIFAR-100. Source: the
    asymmetric noise of the paper (section 4). The data set defines the superclasses.
    """
    return _swap(request, _superclasses(request, "superclass_swap"))


def superclass_next(request: Request) -> np.ndarray:
    """With probability r the next class (by id, cyclically) of the same superclass.

    True noise rate: r. Source: Patrini et al. 2017 on CIFAR-100. The data set defines the
    superclasses.
    """
    return _next(request, _superclasses(request, "superclass_next"))


def block_swap(request: Request) -> np.ndarray:
    """`superclass_swap` with blocks of five consecutive ids instead of superclasses.

    True noise rate: 2r / 5. Fine ids of CIFAR-100 are alphabetical, so its blocks are not its
    superclasses, although much public code uses them as such.
    """
    return _swap(request, _blocks(request, "block_swap"))


def block_next(request: Request) -> np.ndarray:
    """`superclass_next` with blocks of five consecutive ids instead of superclasses.

    True noise rate: r. Source: the public code of SCE (Wang et al. 2019) and code based on it.
    On CIFAR-100 only 6 of the 100 classes get a target inside their true superclass.
    """
    return _next(request, _blocks(request, "block_next"))


def matrix(request: Request) -> np.ndarray:
    """Class j for an example of class i with probability T[i, j].

    T is the argument `matrix`, or for "matrix:PATH" in a file: an .npy of float [C, C], or an .npz
    with such an array `matrix`. The row of every class that has examples sums to 1.
    `dm_jax.noise.transition_matrix` measures one. T determines the true noise rate; `rate` must be
    0. A `Corruption` records the file's name, not its folder.
    """
    kind = f"matrix:{request.argument}" if request.argument else "matrix"
    request.require_rate_zero(kind, "matrix")
    transitions = _square(_transitions(request), request.num_classes, kind)
    given = request.labels.copy()
    for true in np.unique(request.labels):
        row = _probabilities(transitions, true, kind)
        own, possible = request.labels == true, np.flatnonzero(row)
        ends = np.cumsum(row[possible])[:-1]
        given[own] = possible[np.searchsorted(ends, request.choice[own], side="right")]
    return given


def _transitions(request: Request) -> np.ndarray:
    """The matrix as it was given, or as its file has it."""
    if request.argument:
        file = pathlib.Path(request.argument).expanduser()
        return npz.read(file, ["matrix"])["matrix"]
    if request.matrix is None:
        raise ValueError("kind 'matrix' needs the matrix, or its file: 'matrix:PATH'")
    return np.asarray(request.matrix)


def _square(values: np.ndarray, num_classes: int, kind: str) -> np.ndarray:
    """Numbers [C, C] as float64; raises ValueError if they are none."""
    if values.dtype.kind not in "iuf" or values.shape != (num_classes, num_classes):
        raise ValueError(
            f"{kind} must be numbers [{num_classes}, {num_classes}], one row a true class, "
            f"got {values.dtype} {list(values.shape)}"
        )
    return values.astype(np.float64)


def _probabilities(transitions: np.ndarray, row: int, kind: str) -> np.ndarray:
    """A row of the matrix; raises ValueError unless it is probabilities."""
    found = transitions[row]
    if not (found >= 0).all() or not abs(found.sum() - 1) < 1e-6:
        raise ValueError(
            f"row {row} of {kind} must be probabilities that sum to 1, got {found.tolist()}"
        )
    return found


def _swap(request: Request, groups: np.ndarray) -> np.ndarray:
    """Flips between two classes of each group, chosen by two uniforms per group, groups by id."""
    target = np.arange(request.num_classes)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    uniforms = draws.generator(request.seed, "structure").random((len(members), 2))
    for own, (first, second) in zip(members, uniforms, strict=True):
        one = draws.integers(first, own.size)
        other = draws.others(second, one, own.size)
        target[own[[one, other]]] = own[[other, one]]
    return request.flip_to(target[request.labels])


def _next(request: Request, groups: np.ndarray) -> np.ndarray:
    """Flips to the next class of the same group, by id, cyclically."""
    target = np.arange(request.num_classes)
    for group in np.unique(groups):
        own = np.flatnonzero(groups == group)
        target[own] = np.roll(own, -1)
    return request.flip_to(target[request.labels])


def _superclasses(request: Request, kind: str) -> np.ndarray:
    """The superclass of each class, [num_classes]; each must have two classes or more."""
    if request.superclasses is None:
        raise ValueError(f"kind {kind!r} needs superclasses, but this data set has none")
    groups = np.asarray(request.superclasses)
    if groups.dtype.kind not in "iu":
        raise TypeError(f"superclasses must be integers, got {groups.dtype}")
    if groups.shape != (request.num_classes,):
        raise ValueError(
            f"superclasses must have shape [{request.num_classes}] (class to superclass), "
            f"got {list(groups.shape)}"
        )
    ids, sizes = np.unique(groups, return_counts=True)
    if sizes.min() < 2:
        alone = ids[sizes.argmin()]
        raise ValueError(f"kind {kind!r} needs two classes per superclass, {alone} has one")
    return groups


def _blocks(request: Request, kind: str) -> np.ndarray:
    if request.num_classes % BLOCK:
        raise ValueError(
            f"kind {kind!r} needs a multiple of {BLOCK} classes, got {request.num_classes}"
        )
    return np.arange(request.num_classes) // BLOCK
