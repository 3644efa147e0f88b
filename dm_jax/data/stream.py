"""Streams of image batches that do not fit in memory; grain reads, decodes and augments them.

Every batch is a pure function of the settings and of its number. So the state of a stream is the
number of the next batch, and the numbers of workers and processes do not change the global batches,
their crops or their flips.
"""

import contextlib
import dataclasses
import functools
import numbers
from collections.abc import Iterator
from typing import Literal, Protocol

import grain
import numpy as np
from absl import flags

from dm_jax import draws, errors
from dm_jax.data.image_decoding import DamagedImageError, resized_crop
from dm_jax.data.records import Record
from dm_jax.data.worker_processes import end_with_parent, stop_signals_blocked

Batch = dict[str, np.ndarray]
Example = dict[str, np.ndarray]  # one row of a Batch
# Batches that each worker, or the thread of a stream without workers, prepares ahead.
_AHEAD = 2
_PADDING = -1
# More examples than anyone trains on.
_ENDLESS = 2**50


class Source(Protocol):
    """Random access to encoded images, such as `records.Records`; picklable if used by workers."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Record: ...


@dataclasses.dataclass(frozen=True)
class Batching:
    """Settings of the batches.

    Attributes:
      batch_size: examples of the global batch, over all processes.
      resize: images are first scaled to this height and width, ignoring their aspect ratio.
      crop: height and width of the crop from the scaled image.
      process_index, process_count: this process gets every `process_count`-th example of a global
        batch, starting at `process_index`.
      num_classes: labels are in 0 .. num_classes - 1; None if they are not classes.
      damaged: for an image that cannot be decoded, "raise" an error that names its key, or "skip"
        it: it stays in the batch, black and masked, and is counted (`Stream.skipped`).

    Raises:
      ValueError: an invalid value.
    """

    batch_size: int
    resize: int = 256
    crop: int = 224
    process_index: int = 0
    process_count: int = 1
    num_classes: int | None = None
    damaged: Literal["raise", "skip"] = "raise"

    def __post_init__(self):
        for name, minimum in {"batch_size": 1, "resize": 1, "crop": 1, "process_count": 1}.items():
            errors.check_integer(name, getattr(self, name), minimum=minimum)
        errors.check_integer("process_index", self.process_index, minimum=0)
        if self.num_classes is not None:
            errors.check_integer("num_classes", self.num_classes, minimum=1)
        if self.process_index >= self.process_count:
            raise ValueError(
                f"process_index must be below process_count, got {self.process_index} "
                f"of {self.process_count}"
            )
        if self.batch_size % self.process_count:
            raise ValueError(
                f"batch_size {self.batch_size} does not divide over {self.process_count} processes"
            )
        if self.crop > self.resize:
            raise ValueError(f"crop must be in 1 .. {self.resize} (resize), got {self.crop}")
        if self.damaged not in ("raise", "skip"):
            raise ValueError(f"damaged must be 'raise' or 'skip', got {self.damaged!r}")


def train_stream(source: Source, batching: Batching, *, seed: int, workers: int = 0) -> "Stream":
    """Endless shuffled batches with random crops and flips.

    Every epoch is a new permutation; a batch may span two epochs. See `Stream` for the batches.

    Args:
      source: the images.
      batching: sizes, and this process's share.
      seed: of order, crops and flips; at least 0.
      workers: number of processes that prepare batches; 0 uses a thread.

    Raises:
      TypeError, ValueError: the seed or the number of workers is invalid, or the source empty.
    """
    errors.check_integer("seed", seed, minimum=0)
    errors.check_integer("workers", workers, minimum=0)
    if not len(source):
        raise ValueError("source must have at least one image, got none")
    # Not grain's own shuffle, whose orders of small sets are not uniform.
    examples = (
        grain.MapDataset.range(_ENDLESS)
        .seed(seed)
        .map(functools.partial(_shuffled, len(source), int(seed)))
        .random_map(functools.partial(_augmented, source, batching))
    )
    order = {"seed": int(seed), "order": "dm_jax.draws"}  # older states are of grain's order
    identity = {"kind": "train", "size": len(source), **order, **_content(batching)}
    return Stream(_batches(examples, batching), identity, workers)


def eval_stream(source: Source, batching: Batching, *, workers: int = 0) -> "Stream":
    """Every image once, in order, cropped in the centre; the last batch is padded and masked.

    All processes get the same number of batches. See `Stream` for the batches.
    """
    padded = -(-len(source) // batching.batch_size) * batching.batch_size
    examples = grain.MapDataset.range(padded).map(functools.partial(_centred, source, batching))
    identity = {"kind": "eval", "size": len(source), **_content(batching)}
    return Stream(_batches(examples, batching), identity, workers)


class Stream(Iterator[Batch]):
    """An iterator over batches of this process, b = batch_size / process_count:

    - "inputs" uint8 [b, crop, crop, 3], "labels" int32 [b],
    - "index" int64 [b]: the index of the image in the source, -1 for padding,
    - "where" bool [b]: False for padding and for skipped images.

    Attributes:
      skipped: number of damaged images in the batches returned so far.
    """

    def __init__(self, batches: grain.MapDataset[Batch], identity: dict, workers: int):
        self._batches = batches
        self._identity = identity
        self._workers = workers
        self._next = 0
        self._running: grain.DatasetIterator[Batch] | None = None
        self.skipped = 0

    def __len__(self) -> int:
        """Number of batches of a finite stream."""
        return len(self._batches)

    def __next__(self) -> Batch:
        """The next batch; after an error, the same one is tried again."""
        try:
            batch = self._next_batch()
        except StopIteration:
            raise
        except Exception:
            self.close()
            raise
        self._next += 1
        self.skipped += int(np.sum(~batch["where"] & (batch["index"] != _PADDING)))
        return batch

    def _next_batch(self) -> Batch:
        if self._running is not None:
            return next(self._running)
        unstoppable = stop_signals_blocked() if self._workers else contextlib.nullcontext()
        with unstoppable:  # grain starts its workers with the first batch
            self._running = self._start()
            return next(self._running)

    def get_state(self) -> dict:
        """The position of the stream as a JSON-serialisable dict, for `set_state`."""
        return {**self._identity, "next_batch": self._next, "skipped": self.skipped}

    def set_state(self, state: dict) -> None:
        """Moves the stream to a position from `get_state`.

        Raises:
          ValueError: the state is of a stream with other data or settings; names what differs.
        """
        differs = [
            f"{name}: {state.get(name)!r} in it, {value!r} in this one"
            for name, value in self._identity.items()
            if state.get(name) != value
        ]
        differs += [f"no {name}" for name in ("next_batch", "skipped") if name not in state]
        if differs:
            raise ValueError(f"the state belongs to a different stream ({'; '.join(differs)})")
        self.seek(state["next_batch"])
        self.skipped = state["skipped"]

    def seek(self, number: int) -> None:
        """Moves to a batch by its number; at it already, keeps what the workers have prepared.

        Raises:
          TypeError, ValueError: the number is not an integer of at least 0.
        """
        errors.check_integer("number", number, minimum=0)
        if number != self._next:
            self.close()
            self._next = number

    def close(self) -> None:
        """Stops the workers; the next batch restarts them."""
        if self._running is not None:
            self._running.close()
            self._running = None

    def _start(self) -> grain.DatasetIterator[Batch]:
        ahead = grain.ReadOptions(num_threads=1, prefetch_buffer_size=_AHEAD)
        batches = self._batches[self._next :].to_iter_dataset(ahead)
        if self._workers:
            # grain reads absl flags, which fails in a program that has not parsed them.
            if not flags.FLAGS.is_parsed():
                flags.FLAGS.mark_as_parsed()
            options = grain.multiprocessing.MultiprocessingOptions(
                num_workers=self._workers, per_worker_buffer_size=_AHEAD
            )
            batches = batches.mp_prefetch(options, worker_init_fn=end_with_parent)
        return iter(batches)


def _content(batching: Batching) -> dict:
    """The settings that a state must match; the number of processes may differ."""
    settings = dataclasses.asdict(batching)
    del settings["process_index"], settings["process_count"]
    # NumPy's integers are not JSON.
    return {k: int(v) if isinstance(v, numbers.Integral) else v for k, v in settings.items()}


def _batches(examples: grain.MapDataset, batching: Batching) -> grain.MapDataset[Batch]:
    # Sliced after the random draws, so that draws belong to positions in the global batch.
    own = examples[batching.process_index :: batching.process_count]
    return own.batch(batching.batch_size // batching.process_count)


_order = functools.lru_cache(maxsize=2)(draws.order)  # a batch may span two epochs


def _shuffled(count: int, seed: int, position: int) -> int:
    """The index at a position of all epochs."""
    epoch, position = divmod(position, count)
    return int(_order(count, seed, epoch)[position])


def _augmented(source: Source, batching: Batching, index: int, rng: np.random.Generator) -> Example:
    row, column = rng.integers(0, batching.resize - batching.crop + 1, 2)
    flip = rng.random() < 0.5
    example = _example(source, batching, index, int(row), int(column))
    return {**example, "inputs": example["inputs"][:, ::-1]} if flip else example


def _centred(source: Source, batching: Batching, position: int) -> Example:
    if position >= len(source):
        return _blank(batching, 0, _PADDING)
    middle = (batching.resize - batching.crop) // 2
    return _example(source, batching, position, middle, middle)


def _example(source: Source, batching: Batching, index: int, row: int, column: int) -> Example:
    image, label, key = source[index]
    if batching.num_classes is not None and not 0 <= label < batching.num_classes:
        raise ValueError(
            f"{key} has label {label}; accepted: whole numbers from 0 to {batching.num_classes - 1}"
        )
    try:
        pixels = resized_crop(
            image, key, resize=batching.resize, crop=batching.crop, row=row, column=column
        )
    except DamagedImageError:
        if batching.damaged == "raise":
            raise
        return _blank(batching, label, index)
    return _pack(pixels, label, index, where=True)


def _blank(batching: Batching, label: int, index: int) -> Example:
    pixels = np.zeros((batching.crop, batching.crop, 3), np.uint8)
    return _pack(pixels, label, index, where=False)


def _pack(pixels: np.ndarray, label: int, index: int, *, where: bool) -> Example:
    return {
        "inputs": pixels,
        "labels": np.asarray(label, np.int32),
        "index": np.asarray(index, np.int64),
        "where": np.asarray(where),
    }
