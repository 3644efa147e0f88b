"""Random draws that are identical on every platform and with every NumPy from 2.0 on.

NumPy promises the bit stream of `PCG64` and of `SeedSequence`, but not how its distributions turn
bits into numbers. So only raw doubles in [0, 1) are drawn here (the top 53 bits of one 64-bit
output each), and integers, samples and normals are derived from them by the functions below.

Each purpose has its own stream, so adding a draw to one does not shift the others.
"""

import numpy as np

from dm_jax import errors

_STREAMS = {"noise": 0, "imbalance": 1, "structure": 2, "split": 3, "order": 4}


def generator(seed: int, stream: str, *numbers: int) -> np.random.Generator:
    """`Generator(PCG64(SeedSequence([seed, stream number, *numbers])))`; use its `random()` only.

    Raises:
      TypeError: the seed is not an integer.
      ValueError: it is below 0.
    """
    errors.check_integer("seed", seed, minimum=0)
    entropy = np.random.SeedSequence([int(seed), _STREAMS[stream], *numbers])
    return np.random.Generator(np.random.PCG64(entropy))


def order(count: int, seed: int, epoch: int) -> np.ndarray:
    """The order of an epoch, int64 [count]: that which sorts the doubles of its own stream."""
    return np.argsort(generator(seed, "order", epoch).random(count), kind="stable")


def integers(uniforms: np.ndarray, stop) -> np.ndarray:
    """Uniform integers in 0 .. stop - 1 (each probability within 2^-53), int64: floor(u * stop)."""
    return np.floor(uniforms * stop).astype(np.int64)


def others(uniforms: np.ndarray, own, stop) -> np.ndarray:
    """Uniform integers in 0 .. stop - 1 except `own`, int64: floor(u * (stop - 1)), skipping it."""
    drawn = integers(uniforms, np.asarray(stop) - 1)
    return drawn + (drawn >= own)


def sample(candidates: np.ndarray, uniforms: np.ndarray, count: int) -> np.ndarray:
    """The `count` candidates with the smallest uniforms, in the order of `candidates`.

    With the same uniforms, a smaller sample is a subset of a larger one.
    """
    chosen = np.argsort(uniforms, kind="stable")[:count]
    return candidates[np.sort(chosen)]


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normals, float64 [*shape], by Box-Muller, rounded to multiples of 2^-16.

    The rounding hides the last bits, in which logarithms and cosines differ between platforms, and
    makes sums of products with integers exact, whatever the order of summation.
    """
    radius, angle = rng.random((2, *shape))
    values = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
    return np.round(values * 2.0**16) / 2.0**16
