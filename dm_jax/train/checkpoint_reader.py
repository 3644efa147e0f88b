"""Reads the variables of a checkpoint, of a run that may still be training."""

import contextlib
import numbers
import pathlib
from collections.abc import Iterator
from typing import Any, Literal

import orbax.checkpoint as ocp

from dm_jax import errors, files
from dm_jax.train import checkpoint_content as content


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
        nothing has been evaluated yet.
    """
    found = _chosen(directory, step)
    while True:
        try:
            return found, _read_variables(directory, found)
        except ValueError:
            # A run that is still training deletes the newest or best only for a newer or better.
            before, found = found, _chosen(directory, step)
            if found == before:
                raise


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
            content.verify(arrays, content.unsealed(read.meta)["checksums"], f"[0].{name}")
    return variables


@contextlib.contextmanager
def _damage_of(what: str) -> Iterator[None]:
    """Turns any error but the machine's into a ValueError that names what is damaged."""
    try:
        yield
    except Exception as error:  # orbax and tensorstore raise bare Exceptions
        if errors.is_transient(error):
            raise
        raise ValueError(f"{what} is damaged: {errors.first_line(error)}") from error


def _chosen(directory: pathlib.Path, step: int | str) -> int:
    """The step of the existing checkpoint that `step` refers to."""
    steps = sorted(int(path.name) for path in directory.glob("*") if path.name.isdigit())
    if step == "last" and steps:
        return steps[-1]
    if step == "best" and steps:
        paths = {one: directory / str(one) / "metrics" / "metrics" for one in steps}
        scores = {}
        with _damage_of(f"a score in {directory}"):
            for one, path in paths.items():
                with contextlib.suppress(FileNotFoundError):  # it has none, or was just deleted
                    scores[one] = content.score(files.read_json(path))
        if not scores:
            raise ValueError(
                f"{directory} has no best checkpoint: nothing was held out, or nothing has been "
                "evaluated yet"
            )
        return max(scores, key=lambda one: scores[one])
    if isinstance(step, numbers.Integral) and step in steps:
        return int(step)
    names = " ('last', 'best' or one of these)" if steps else ""
    available = ", ".join(map(str, steps)) or "none"
    raise FileNotFoundError(
        f"{directory} has no checkpoint {step!r}; available: {available}{names}"
    )
