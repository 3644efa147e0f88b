"""Orbax checkpoints: written in the background, atomic, and verified when read.

They hold plain arrays without shardings, so a run can resume on other devices or in another mode.
Orbax detects short or missing files but not flipped bits, so every checkpoint carries CRC-32
checksums.
"""

import contextlib
import json
import logging
import numbers
import os
import pathlib
import re
import time
import zlib
from collections.abc import Iterator
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import orbax.checkpoint as ocp
from orbax.checkpoint import checkpoint_managers as managers

from dm_jax import errors, files
from dm_jax.train import parallel

log = logging.getLogger(__name__)

# How often to try to read the newest or best checkpoint, and the pause between tries, in seconds.
_ATTEMPTS, _PAUSE = 5, 0.2


class Restored(NamedTuple):
    """A checkpoint as it was saved."""

    step: int
    tree: Any
    seconds: float


class Checkpoints:
    """The checkpoints of one run: the last `keep`, and the best by `score`."""

    def __init__(self, directory: pathlib.Path, *, keep: int):
        logging.getLogger("absl").addFilter(_is_not_expected)
        self._directory = directory.absolute()
        self._set_aside_damaged_scores()
        policies = [
            managers.LatestN(keep),
            managers.BestN(
                get_metric_fn=_score,
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
                best_fn=_score,  # without it the scores are not written
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
        _raise_on_all_hosts(problem)

    def _try_to_save(
        self, step: int, tree: Any, score: float | None, seconds: float
    ) -> OSError | None:
        """Returns what prevents it."""
        try:
            arrays = _to_numpy(tree)
            meta = {
                "checksums": _checksums(arrays),
                "arrays": _description(arrays),
                "seconds": seconds,
            }
            self._manager.save(
                step,
                args=ocp.args.Composite(
                    tree=ocp.args.StandardSave(arrays), meta=ocp.args.JsonSave(_sealed(meta))
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
        _raise_on_all_hosts(problem)

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
          ValueError: a checkpoint was written with a different network, optimiser or scheme.
          MemoryError, OSError: it could not be read, but may be intact; it is not moved.
        """
        like = jax.eval_shape(lambda tree: tree, like)
        shapes = jax.eval_shape(_raw_keys, like)
        while (step := self.latest) is not None:
            try:
                meta = _unsealed(self._read(step, meta=ocp.args.JsonRestore()).meta)
                different = _differences(meta["arrays"], _description(shapes))
                if not different:
                    arrays = self._read_arrays(step, shapes, meta["checksums"])
                    return Restored(step, _wrap_keys(like, arrays), meta["seconds"])
            except Exception as error:  # orbax and tensorstore raise bare Exceptions here
                if _is_of_the_machine(error):
                    raise
                self._set_aside(step, error)
                continue
            raise ValueError(
                f"checkpoint {step} in {self._directory} was written with a different network, "
                f"optimiser, scheme or version of dm_jax: {different}"
            )
        return None

    def close(self) -> None:
        """Waits for pending writes and closes the manager."""
        self.wait()
        self._manager.close()

    def _read(self, step: int, **items: Any) -> Any:
        return self._manager.restore(step, args=ocp.args.Composite(**items))

    def _read_arrays(self, step: int, shapes: Any, checksums: dict[str, int]) -> Any:
        # Without a target: orbax refuses one that differs in nodes without arrays, as optax's
        # EmptyState, which a change of the optimiser adds or removes.
        arrays = _in_structure_of(shapes, self._read(step, tree=ocp.args.StandardRestore()).tree)
        _verify(arrays, checksums)
        return arrays

    def _set_aside_damaged_scores(self) -> None:
        """Moves checkpoints with damaged scores, which would make orbax's manager fail."""
        if parallel.is_primary():
            for path in sorted(self._directory.glob("*/metrics/metrics")):
                step = path.parents[1].name
                if not step.isdigit():  # a temporary folder, which orbax removes
                    continue
                try:
                    _score(files.read_json(path))
                except ValueError as error:
                    self._move(step, error)
        parallel.barrier()

    def _set_aside(self, step: int, error: Exception) -> None:
        """Every host detects the damage; the first moves the files while the others wait."""
        if parallel.is_primary():
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
        newest = "There is none yet"
        if self.latest is not None:
            newest = f"The newest intact one is of step {self.latest}"
        return OSError(
            f"a checkpoint could not be written to {self._directory}: {reason}. {newest}"
        )


def read_variables(
    directory: pathlib.Path, step: int | Literal["last", "best"] = "last"
) -> tuple[int, dict[str, Any]]:
    """The step and {"params": ..., "batch_stats": ...} of a run's checkpoint, as NumPy arrays.

    Args:
      directory: of the checkpoints; nothing in it is changed.
      step: of the checkpoint, or "last", or "best" by validation accuracy.

    Raises:
      FileNotFoundError: there is no such checkpoint.
      ValueError: it is damaged, or "best" if no checkpoint has a score: nothing was held out, or
        nothing was evaluated at the step of a checkpoint.
    """
    attempts = _ATTEMPTS if isinstance(step, str) else 1
    while True:
        attempts -= 1
        try:
            found = _chosen(directory, step)
            return found, _read_variables(directory, found)
        except ValueError:
            if not attempts:
                raise
        time.sleep(_PAUSE)  # a run that is still training may have deleted what was chosen


def _read_variables(directory: pathlib.Path, step: int) -> dict[str, Any]:
    items = {"tree": ocp.args.StandardRestore(), "meta": ocp.args.JsonRestore()}
    with (
        _damage_of(f"checkpoint {step} in {directory}"),
        ocp.Checkpointer(ocp.CompositeCheckpointHandler()) as reader,
    ):
        path = directory.absolute() / str(step)
        read = reader.restore(path, args=ocp.args.Composite(**items))
        variables = {name: read.tree[0][name] for name in ("params", "batch_stats")}
        for name, arrays in variables.items():
            _verify(arrays, _unsealed(read.meta)["checksums"], f"[0].{name}")
    return variables


@contextlib.contextmanager
def _damage_of(what: str) -> Iterator[None]:
    """Turns any error but the machine's into a ValueError that names what is damaged."""
    try:
        yield
    except Exception as error:  # orbax and tensorstore raise bare Exceptions
        if _is_of_the_machine(error):
            raise
        raise ValueError(f"{what} is damaged: {errors.first_line(error)}") from error


def _chosen(directory: pathlib.Path, step: int | str) -> int:
    """The step of the existing checkpoint that `step` refers to."""
    steps = sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())
    if step == "last" and steps:
        return steps[-1]
    if step == "best" and steps:
        paths = {one: directory / str(one) / "metrics" / "metrics" for one in steps}
        with _damage_of(f"a score in {directory}"):
            scores = {
                one: _score(files.read_json(path)) for one, path in paths.items() if path.exists()
            }
        if not scores:
            raise ValueError(
                f"{directory} has no best checkpoint: nothing was held out, or nothing was "
                "evaluated when a checkpoint was written"
            )
        return max(scores, key=lambda one: (scores[one], one))  # of ties orbax keeps the last
    if isinstance(step, numbers.Integral) and step in steps:
        return int(step)
    names = " ('last', 'best' or one of these)" if steps else ""
    available = ", ".join(map(str, steps)) or "none"
    raise FileNotFoundError(
        f"{directory} has no checkpoint {step!r}; available: {available}{names}"
    )


def _raise_on_all_hosts(problem: OSError | None) -> None:
    """Raises the problem of the first host there, and on the others an error that points to it."""
    if parallel.any_host(problem is not None):
        raise problem or OSError("the first host could not write a checkpoint; see its error")


def _score(metrics: Any) -> float:
    score = metrics.get("score")
    if not isinstance(score, float | int):
        raise ValueError(f"a score must be a number, got {score!r}")
    return score


def _is_not_expected(record: logging.LogRecord) -> bool:
    """A log filter that drops orbax's warnings about what is meant to be.

    Most checkpoints have no score, and all hosts but the first only read the folder.
    """
    expected = ("did not provide metrics", "Given directory is read only")
    return not any(part in str(record.msg) for part in expected)


def _is_of_the_machine(error: Exception) -> bool:
    """Whether the error is the machine's: the files may be intact, and a retry may succeed."""
    of_the_files = isinstance(error, FileNotFoundError | NotADirectoryError | IsADirectoryError)
    return isinstance(error, MemoryError | OSError) and not of_the_files


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _raw_keys(tree: Any) -> Any:
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def _to_numpy(tree: Any) -> Any:
    """A copy on the host, as the device buffers are donated to the next step."""
    return jax.tree.map(np.array, jax.device_get(_raw_keys(tree)))


def _in_structure_of(like: Any, tree: Any) -> Any:
    """The leaves of `tree`, which is of dicts and lists, at the same paths of `like`."""
    leaves = {_names(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[_names(path)], like)


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def _wrap_keys(like: Any, tree: Any) -> Any:
    return jax.tree.map(
        lambda leaf, array: (
            jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else array
        ),
        like,
        tree,
    )


def _description(arrays: Any) -> dict[str, str]:
    """{path: "float32[8,3]"} of every leaf."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)
    }


def _differences(old: dict[str, str], new: dict[str, str]) -> str:
    """The first difference and the number of others; "" if there is none."""
    paths = [path for path in sorted(old.keys() | new.keys()) if old.get(path) != new.get(path)]
    if not paths:
        return ""
    first = f"{paths[0]} is {old.get(paths[0])} in it but {new.get(paths[0])} in this run"
    return first if len(paths) == 1 else f"{first}, and {len(paths) - 1} more"


def _sealed(meta: dict[str, Any]) -> dict[str, Any]:
    """`meta` with a checksum of its own."""
    return meta | {"seal": zlib.crc32(json.dumps(meta, sort_keys=True).encode())}


def _unsealed(meta: dict[str, Any]) -> dict[str, Any]:
    """`meta` without its checksum; raises ValueError if that differs. Old ones have none."""
    content = {name: value for name, value in meta.items() if name != "seal"}
    if "seal" in meta and _sealed(content) != meta:
        raise ValueError("the checksum of its metadata differs")
    return content


def _checksums(tree: Any, prefix: str = "") -> dict[str, int]:
    """{path: CRC-32} of every leaf."""
    return {
        prefix + jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).tobytes())
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def _verify(tree: Any, recorded: dict[str, int], prefix: str = "") -> None:
    """Raises ValueError if the checksum of a leaf is not the recorded one."""
    for path, found in _checksums(tree, prefix).items():
        if found != recorded.get(path):
            raise ValueError(f"the checksum of {path} is {found}, recorded {recorded.get(path)}")
