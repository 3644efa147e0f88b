"""Orbax checkpoints: written in the background, atomic, and verified when read.

They hold plain arrays without shardings, so a run can resume on other devices or in another mode.
Orbax detects short or missing files but not flipped bits, so every checkpoint carries CRC-32
checksums.
"""

import logging
import math
import os
import pathlib
import re
import time
from typing import Any, NamedTuple

import jax
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from dm_jax import errors, files
from dm_jax.train import checkpoint_content as content
from dm_jax.train import parallel
from dm_jax.train.differences import differences

log = logging.getLogger(__name__)


class Restored(NamedTuple):
    """A checkpoint as it was saved."""

    step: int
    tree: Any
    seconds: float


class Checkpoints:
    """The checkpoints of one run: the last `keep`, and the best by `score`."""

    def __init__(self, directory: pathlib.Path, *, keep: int):
        logging.getLogger("absl").addFilter(_is_unexpected)
        self._directory = directory.absolute()
        self._set_aside_damaged_scores()
        policies = [
            managers.LatestN(keep),
            managers.BestN(
                get_metric_fn=content.score,
                n=1,
                keep_checkpoints_without_metrics=False,
            ),
        ]
        writes, host = parallel.is_primary(), jax.process_index()
        if writes:
            self._directory.mkdir(parents=True, exist_ok=True)
        parallel.barrier()
        # Every host manages the folder by itself, and only the first writes: hosts that shared a
        # manager would wait for each other forever if one of them could not write.
        self._manager = ocp.CheckpointManager(
            self._directory,
            options=ocp.CheckpointManagerOptions(
                best_fn=content.score,  # without it the scores are not written
                preservation_policy=managers.AnyPreservationPolicy(policies),
                cleanup_tmp_directories=writes,
                create=False,
                read_only=not writes,
                save_interval_steps=int(writes),  # read_only wants 0
                multiprocessing_options=ocp.options.MultiprocessingOptions(
                    primary_host=host, active_processes={host}, barrier_sync_key_prefix=str(host)
                ),
            ),
        )

    @property
    def latest(self) -> int | None:
        """The step of the newest checkpoint, or None."""
        if not parallel.is_primary():  # another host has written meanwhile
            self._manager.reload()
        return self._manager.latest_step()

    @property
    def best_score(self) -> float:
        """The highest score of a checkpoint; -inf if none has one, and on all hosts but the first.

        Read from the files: orbax may still be removing what a killed run left unfinished.
        """
        paths = self._score_files() if parallel.is_primary() else ()
        return max((content.score(files.read_json(path)) for path in paths), default=-math.inf)

    def _score_files(self) -> list[pathlib.Path]:
        """Of all complete checkpoints; the folders of others are not named by a number alone."""
        found = sorted(self._directory.glob("*/metrics/metrics"))
        return [path for path in found if path.parents[1].name.isdigit()]

    def save(
        self, step: int, tree: Any, *, score: float | None = None, seconds: float = 0.0
    ) -> None:
        """Starts to write `tree`, on the first host; when it returns, `tree` may be overwritten.

        Every host must call it.

        Args:
          step: steps taken.
          tree: of arrays and random keys.
          score: higher is better; the best checkpoint is never deleted.
          seconds: wall time of the run so far, over all its starts.

        Raises:
          OSError: this or the previous checkpoint could not be written. Older ones are kept.
        """
        problem = self._try_to_save(step, tree, score, seconds) if parallel.is_primary() else None
        parallel.raise_on_all_hosts(problem, "the first host could not write a checkpoint")

    def _try_to_save(
        self, step: int, tree: Any, score: float | None, seconds: float
    ) -> OSError | None:
        """Returns what prevents it."""
        try:
            arrays = content.to_numpy(tree)
            meta = {
                "checksums": content.checksums(arrays),
                "arrays": content.description(arrays),
                "seconds": seconds,
            }
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    tree=ocp.args.StandardSave(arrays), meta=ocp.args.JsonSave(content.sealed(meta))
                ),
                metrics=None if score is None else {"score": score},
                force=True,
            )
        except Exception as error:
            problem = self._unwritable(error)
            problem.__cause__ = error
            return problem
        return None

    def finish(self) -> None:
        """Waits until everything is on disk; every host must call it.

        Raises:
          OSError: it could not be written.
        """
        problem = None
        try:
            self.wait()
        except OSError as error:
            problem = error
        parallel.raise_on_all_hosts(problem, "the first host could not write a checkpoint")

    def wait(self) -> None:
        """Waits until everything is on disk; raises OSError if it could not be written."""
        try:
            self._manager.wait_until_finished()
            self._manager.check_for_errors()
        except Exception as error:
            raise self._unwritable(error) from error

    def restore(self, like: Any) -> Restored | None:
        """The newest intact checkpoint, or None if there is none.

        Damaged ones are moved to `damaged/`, with a warning that names them and the fallback.

        Args:
          like: a tree of the same structure; its arrays may be abstract.

        Raises:
          ValueError: a checkpoint was written with a different network, optimiser or scheme, or
            none could be: an array has no elements.
          MemoryError, OSError: it could not be read, but may be intact; it is not moved.
        """
        like = jax.eval_shape(lambda tree: tree, like)
        content.check_not_empty(like)
        while (step := parallel.broadcast_from_primary(self.latest)) is not None:
            found, problem = None, None
            try:
                found = self._read_intact(step, like)
            except Exception as error:  # the hosts have to agree on what to do
                problem = error
            # What only others cannot read may be intact: their view of a shared folder may lag.
            if parallel.any_host(parallel.is_primary() and isinstance(problem, _DamagedError)):
                self._set_aside(step, problem)
                continue
            parallel.raise_on_all_hosts(problem, f"another host cannot read checkpoint {step}")
            return found
        return None

    def _read_intact(self, step: int, like: Any) -> Restored:
        """Reads a checkpoint.

        Raises:
          _DamagedError: it is damaged.
          ValueError, MemoryError, OSError: as `restore`.
        """
        shapes = jax.eval_shape(content.raw_keys, like)
        try:
            meta = content.unsealed(self._read(step, meta=ocp.args.JsonRestore()).meta)
            old, new = meta["arrays"], content.description(shapes)
            different = differences(old, new, path="", ignored=())
            if not different:
                arrays = self._read_arrays(step, shapes, meta["checksums"])
                return Restored(step, content.wrap_keys(like, arrays), meta["seconds"])
        except Exception as error:  # orbax and tensorstore raise bare Exceptions here
            if errors.is_transient(error):
                raise
            raise _DamagedError(errors.first_line(error)) from error
        more = f"; and {len(different) - 3} more" if len(different) > 3 else ""
        raise ValueError(
            f"checkpoint {step} in {self._directory} was written with a different network, "
            "optimiser, scheme or version of dm_jax (its -> this run's: "
            f"{'; '.join(different[:3])}{more})"
        )

    def close(self) -> None:
        """Waits for pending writes and closes the manager."""
        self.wait()
        self._manager.close()

    def _read(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _read_arrays(self, step: int, shapes: Any, checksums: dict[str, int]) -> Any:
        # Without a target: orbax refuses one that differs in nodes without arrays, as optax's
        # EmptyState, which a change of the optimiser adds or removes.
        found = self._read(step, tree=ocp.args.StandardRestore()).tree
        arrays = content.in_structure_of(shapes, found)
        content.verify(arrays, checksums)
        return arrays

    def _set_aside_damaged_scores(self) -> None:
        """Moves checkpoints with damaged scores, which would make orbax's manager fail."""
        if parallel.is_primary():
            for path in self._score_files():
                try:
                    content.score(files.read_json(path))
                except ValueError as error:
                    self._move(path.parents[1].name, error)
        parallel.barrier()

    def _set_aside(self, step: int, error: Exception | None) -> None:
        """The first host moves the files while the others wait; every host must call it."""
        if parallel.is_primary() and error:
            self._move(str(step), error)
        parallel.barrier()
        self._manager.reload()
        latest = "the start" if self.latest is None else f"checkpoint {self.latest}"
        log.warning("falling back to %s", latest)

    def _move(self, step: str, error: Exception) -> None:
        damaged = self._directory / "damaged" / f"{step}-{time.time_ns()}"
        damaged.parent.mkdir(exist_ok=True)
        (self._directory / step).rename(damaged)
        log.warning(
            "checkpoint %s in %s is damaged (%s) and was moved to %s",
            step,
            self._directory,
            errors.first_line(error),
            damaged,
        )

    def _unwritable(self, error: Exception) -> OSError:
        code = re.search(r"os_error_code='(\d+)'", str(error))  # at the end of long messages
        reason = os.strerror(int(code[1])) if code else errors.first_line(error)
        self._manager.reload()  # a save that fails leaves orbax's list without older checkpoints
        newest = "There is none yet"
        if self.latest is not None:
            newest = f"The newest intact one is of step {self.latest}"
        return OSError(
            f"a checkpoint could not be written to {self._directory}: {reason}. {newest}"
        )


class _DamagedError(ValueError):
    """A checkpoint is damaged."""


def _is_unexpected(record: logging.LogRecord) -> bool:
    """A log filter that drops orbax's warnings about what is meant to be.

    Most checkpoints have no score, all hosts but the first only read the folder, short runs save
    more often than a slow disk can write, and a run that was killed leaves unfinished ones.
    """
    expected = (
        "did not provide metrics",
        "Given directory is read only",
        "Waiting for previous save to complete",
        "Metadata file does not exist",
    )
    return not any(part in str(record.msg) for part in expected)
