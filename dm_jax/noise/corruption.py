"""The value that label noise and imbalance produce: seeded, hashed, saved."""

import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
import zipfile
import zlib

import numpy as np

_ARRAYS = {"labels": "<i4", "kept": "<i8", "changed": "|b1"}
_FACTS = ("kind", "rate", "seed", "imbalance", "ratio", "part")


@dataclasses.dataclass(frozen=True, eq=False)
class Corruption:
    """What was done to the labels of a training set, drawn once and never changed.

    Attributes:
      labels: int32 [m], the given label of each kept example.
      kept: int64 [m], the kept examples as indices into the original training set, ascending.
      changed: bool [m], whether the given label differs from the true one.
      kind: the noise, by its name in `dm_jax.noise.kinds()`.
      rate: the rate asked for (`actual_rate` is the one that came out).
      seed: of all draws.
      imbalance: "none", "ratio", "long_tail" or "step".
      ratio: of the imbalance.
      part: "all", or which side of which hold-out (`dm_jax.noise.hold_out`).
    """

    labels: np.ndarray
    kept: np.ndarray
    changed: np.ndarray
    kind: str
    rate: float
    seed: int
    imbalance: str = "none"
    ratio: float = 1.0
    part: str = "all"

    def __post_init__(self):
        for name, dtype in _ARRAYS.items():
            array = np.array(getattr(self, name), np.dtype(dtype))
            if array.shape != (len(self.kept),):
                raise ValueError(f"{name} must have shape [{len(self.kept)}], got {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)

    @property
    def actual_rate(self) -> float:
        """The share of the kept examples whose label was changed; 0 where none are kept."""
        return float(self.changed.mean()) if self.changed.size else 0.0

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 over every field, the same on every platform."""
        digest = hashlib.sha256(self._facts().encode())
        for name in _ARRAYS:
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()

    def take(self, positions: np.ndarray, *, part: str) -> "Corruption":
        """The examples at these positions (indices into `kept`), recorded as `part`."""
        arrays = {name: getattr(self, name)[positions] for name in _ARRAYS}
        return dataclasses.replace(self, **arrays, part=part)

    def cleaned(self, true_labels: np.ndarray) -> "Corruption":
        """The same examples with their true labels, int [m]."""
        return dataclasses.replace(self, labels=true_labels, changed=np.zeros_like(self.changed))

    def save(self, path: str | os.PathLike) -> None:
        """Writes one .npz that `load` verifies. The file appears whole or not at all."""
        path = pathlib.Path(path)
        arrays = {name: getattr(self, name) for name in _ARRAYS}
        with _atomically(path) as file:
            np.savez_compressed(
                file, **arrays, facts=np.array(self._facts()), hash=np.array(self.hash)
            )

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Corruption":
        """Reads what `save` wrote; nothing is unpickled.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: the file is not a whole, unchanged corruption; says what is wrong.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = {name: file[name] for name in _ARRAYS}
                facts, recorded = json.loads(str(file["facts"])), str(file["hash"])
            corruption = cls(**arrays, **facts)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise ValueError(f"{path} is not a saved corruption: {error}") from error
        except (AttributeError, zipfile.BadZipFile, zlib.error) as error:
            raise ValueError(f"{path} is damaged or not an .npz: {error}") from error
        if corruption.hash != recorded:
            raise ValueError(
                f"{path} was altered: its content hashes to {corruption.hash}, recorded {recorded}"
            )
        return corruption

    def _facts(self) -> str:
        """The fields that are not arrays, as one canonical line."""
        return json.dumps({name: getattr(self, name) for name in _FACTS}, sort_keys=True)


@contextlib.contextmanager
def _atomically(path: pathlib.Path):
    """A binary file that takes its place only when it is complete and on disk."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        with open(partial, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
