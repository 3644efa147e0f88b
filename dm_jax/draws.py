"""Random draws that are the same on every platform and with every NumPy from 1.26 on.

NumPy promises the bit stream of `PCG64` and of `SeedSequence`, but not how its distributions turn
bits into numbers. So only raw doubles in [0, 1) are drawn here (the top 53 bits of one 64-bit
output each), and integers, samples and normals are derived from them by the functions below.

Every purpose has a stream of its own, so that a draw added to one moves no other.
"""

import numpy as np

_STREAMS = {"noise": 0, "imbalance": 1, "structure": 2, "split": 3}


def generator(seed: int, stream: str) -> np.random.Generator:
    """`Generator(PCG64(SeedSequence([seed, stream number])))`, for drawing with `random()` only.

    Raises:
      ValueError: the seed is not an integer of at least 0.
    """
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
        raise ValueError(f"seed must be an integer of at least 0, got {seed!r}")
    entropy = np.random.SeedSequence([int(seed), _STREAMS[stream]])
    return np.random.Generator(np.random.PCG64(entropy))


def integers(uniforms: np.ndarray, stop) -> np.ndarray:
    """floor(u * stop), int64: each of 0 .. stop - 1 with equal probability (to 2^-53)."""
    return np.floor(uniforms * stop).astype(np.int64)


def others(uniforms: np.ndarray, own, stop) -> np.ndarray:
    """One of 0 .. stop - 1 except `own`, int64: floor(u * (stop - 1)), stepping over `own`."""
    drawn = integers(uniforms, np.asarray(stop) - 1)
    return drawn + (drawn >= own)


def sample(candidates: np.ndarray, uniforms: np.ndarray, count: int) -> np.ndarray:
    """The `count` candidates with the smallest uniforms, in the order of `candidates`.

    With the same uniforms a smaller sample lies inside a larger one.
    """
    chosen = np.argsort(uniforms, kind="stable")[:count]
    return candidates[np.sort(chosen)]


def normals(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
    """Standard normals, float64 [*shape], by Box and Muller, in multiples of 2^-16.

    The rounding hides the last bits in which the logarithms and cosines of two platforms differ,
    and makes sums of products with integers exact, whatever the order of summation.
    """
    radius, angle = rng.random((2, *shape))
    values = np.sqrt(-2.0 * np.log1p(-radius)) * np.cos(2.0 * np.pi * angle)
    return np.round(values * 2.0**16) / 2.0**16
