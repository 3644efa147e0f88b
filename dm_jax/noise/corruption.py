"""The result of label noise and imbalance: seeded, hashed and saved."""

import dataclasses
import hashlib
import json
import os
from typing import Any

import numpy as np

from dm_jax import npz

_ARRAYS = {"labels": "<i4", "kept": "<i8", "changed": "|b1"}
_FACTS = ("kind", "rate", "seed", "imbalance", "ratio", "part")


@dataclasses.dataclass(frozen=True, eq=False)
class Corruption:
    """The corrupted labels of a training set; drawn once and immutable.

    Attributes:
      labels: int32 [m], the given label of each kept example.
      kept: int64 [m], the kept examples as indices into the original training set, ascending.
      changed: bool [m], whether the given label differs from the true one.
      kind: name of the noise, as in `dm_jax.noise.kinds()`; "none" for a streamed set, whose labels
        are not read.
      rate: the requested rate (`actual_rate` is the realised one).
      seed: seed of all draws.
      imbalance: "none", "ratio", "long_tail" or "step".
      ratio: ratio of the imbalance.
      part: "all", or the part of a hold-out (`dm_jax.noise.hold_out`).
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
        object.__setattr__(self, "rate", float(self.rate))
        object.__setattr__(self, "ratio", float(self.ratio))
        for name, dtype in _ARRAYS.items():
            given, kinds = np.asarray(getattr(self, name)), "b" if name == "changed" else "iu"
            if given.size and given.dtype.kind not in kinds:
                accepted = "bool" if name == "changed" else "integers"
                raise TypeError(f"{name} must be {accepted}, got {given.dtype}")
            array = np.array(given, np.dtype(dtype))
            if not np.array_equal(array, given):  # an integer that wrapped round
                raise ValueError(f"{name} must fit {array.dtype}, got {given[given != array][0]}")
            if array.shape != (len(self.kept),):
                raise ValueError(f"{name} must have shape [{len(self.kept)}], got {array.shape}")
            array.setflags(write=False)
            object.__setattr__(self, name, array)
        if (np.diff(self.kept, prepend=-1) < 1).any():
            raise ValueError("kept must be ascending indices from 0 on, without repetition")

    def __repr__(self) -> str:
        facts = [self.kind, f"rate {self.rate:g}", f"seed {self.seed}"]
        if self.imbalance != "none":
            facts.append(f"imbalance {self.imbalance} {self.ratio:g}")
        if self.part != "all":
            facts.append(self.part)
        content = "no labels"  # of a streamed set
        if self.labels.size:
            content = f"{100 * self.actual_rate:.1f}% of {self.labels.size} labels wrong"
        return f"Corruption({', '.join(facts)}: {content})"

    @property
    def actual_rate(self) -> float:
        """The share of kept examples whose label was changed; 0 if none are kept."""
        return float(self.changed.mean()) if self.changed.size else 0.0

    @property
    def hash(self) -> str:
        """Hexadecimal SHA-256 of all fields, the same on every platform."""
        digest = hashlib.sha256(self._facts().encode())
        for name in _ARRAYS:
            digest.update(getattr(self, name).tobytes())
        return digest.hexdigest()

    def take(self, positions: np.ndarray, *, part: str) -> "Corruption":
        """The examples at these ascending positions (indices into `kept`), recorded as `part`."""
        arrays = {name: getattr(self, name)[positions] for name in _ARRAYS}
        return dataclasses.replace(self, **arrays, part=part)

    def cleaned(self, true_labels: np.ndarray) -> "Corruption":
        """The same examples with their true labels, int [m]."""
        return dataclasses.replace(self, labels=true_labels, changed=np.zeros_like(self.changed))

    def save(self, path: str | os.PathLike) -> None:
        """Writes an .npz that `load` verifies, atomically."""
        content = {name: getattr(self, name) for name in _ARRAYS}
        content |= {"facts": np.array(self._facts()), "hash": np.array(self.hash)}
        npz.write(path, content)

    @classmethod
    def load(cls, path: str | os.PathLike) -> "Corruption":
        """Reads what `save` wrote; nothing is unpickled.

        Raises:
          FileNotFoundError: there is no such file.
          ValueError: the file is damaged, altered or not a saved corruption.
        """
        content = npz.read(path, [*_ARRAYS, "facts", "hash"])
        try:
            fields: dict[str, Any] = json.loads(str(content["facts"]))
            fields.update((name, content[name]) for name in _ARRAYS)
            corruption = cls(**fields)
        except (AttributeError, TypeError, ValueError) as error:
            raise ValueError(f"{path} is not a saved corruption: {error}") from error
        recorded = str(content["hash"])
        if corruption.hash != recorded:
            raise ValueError(
                f"{path} was altered: its content hashes to {corruption.hash}, recorded {recorded}"
            )
        return corruption

    def _facts(self) -> str:
        """The fields that are not arrays, as canonical JSON."""
        return json.dumps({name: getattr(self, name) for name in _FACTS}, sort_keys=True)
