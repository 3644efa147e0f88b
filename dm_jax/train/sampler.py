"""The examples of each step, as a pure function of the seed and the step: nothing to save."""

import dataclasses
import functools

import numpy as np

from dm_jax import draws


@dataclasses.dataclass(frozen=True, eq=False)
class Sampler:
    """Shuffles every epoch anew and splits it into batches.

    Epoch e is the order that sorts the doubles of its own random stream; it does not depend on
    earlier steps, the platform or the number of devices.

    Attributes:
      indices: int [n], the rows to draw from (`Corruption.kept`).
      batch_size: examples per step.
      seed: seed of the order.
      last_batch: "wrap" continues into the next epoch; "mask" pads the last batch of every epoch.
    """

    indices: np.ndarray
    batch_size: int
    seed: int
    last_batch: str = "wrap"

    def batches(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray | None]:
        """index, int32 [stop - start, B], and where, bool of that shape, or None if not padded."""
        size, count = self.batch_size, len(self.indices)
        step = np.arange(start, stop)[:, None]
        slot = np.arange(size)[None, :]
        if self.last_batch == "wrap":
            position = step * size + slot
            return self._rows(position // count, position % count), None
        epoch, batch = np.divmod(step, -(-count // size))
        position = batch * size + slot
        index = self._rows(np.broadcast_to(epoch, position.shape), np.minimum(position, count - 1))
        return index, (position < count) if count % size else None

    def _rows(self, epoch: np.ndarray, position: np.ndarray) -> np.ndarray:
        """The rows at these positions of these epochs, which ascend."""
        rows = np.empty(position.size, np.int32)
        epochs, starts = np.unique(epoch, return_index=True)
        for e, start, stop in zip(epochs, starts, [*starts[1:], position.size], strict=True):
            order = _order(len(self.indices), self.seed, int(e))
            rows[start:stop] = self.indices[order[position.ravel()[start:stop]]]
        return rows.reshape(position.shape)


# Two epochs of each member of a population of eight seeds.
_order = functools.lru_cache(maxsize=16)(draws.order)


def in_order(count: int, batch_size: int) -> tuple[np.ndarray, np.ndarray]:
    """index and where, each [ceil(count / B), B]: every row once, padded with row 0."""
    position = np.arange(-(-count // batch_size) * batch_size).reshape(-1, batch_size)
    return np.where(position < count, position, 0).astype(np.int32), position < count
