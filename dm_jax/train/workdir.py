"""The folder of one run: its config, corruption and environment, and never another run's."""

import contextlib
import datetime
import fcntl
import json
import os
import pathlib
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import jax

from dm_jax.noise import Corruption
from dm_jax.train import parallel
from dm_jax.train.config import Config

# What a run may change as it goes on: its devices, and where its data lie.
_PLACES = ("config.parallel", "config.data.data_dir")
_PACKAGES = ("dm_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def environment() -> dict[str, Any]:
    """Versions of what computes, the devices, and the date (ISO 8601, UTC)."""
    return {
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in _PACKAGES},
        "device": devices(),
        "processes": jax.process_count(),
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }


def devices() -> str:
    """The devices of this process, in words: "1 x NVIDIA H200 (gpu)"."""
    found = jax.devices()
    return f"{len(found)} x {found[0].device_kind} ({found[0].platform})"


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def differences(old: dict[str, Any], new: dict[str, Any], path: str = "config") -> list[str]:
    """Lines "config.loss.beta: 8.0 -> 4.0" for all keys that differ and may change a number.

    >>> differences({"seed": 0, "parallel": {"mode": "jit"}}, {"seed": 1, "parallel": {}})
    ['config.seed: 0 -> 1']
    """
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after, where = old.get(key), new.get(key), f"{path}.{key}"
        if where in _PLACES:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, where)
        elif before != after:
            lines.append(f"{where}: {before!r} -> {after!r}")
    return lines


def claim(workdir: pathlib.Path, config: Config, *, allow_changes: bool = False) -> None:
    """Makes `workdir` this config's: the first host writes config.json and environment.json there.

    Raises:
      ValueError: it holds the run of another config (names the keys), unless `allow_changes`.
      OSError: it cannot be written.
    """
    path = workdir / "config.json"
    try:
        workdir.mkdir(parents=True, exist_ok=True)
        changed = (
            differences(json.loads(path.read_text()), config.to_dict()) if path.exists() else []
        )
        if changed and not allow_changes:
            raise ValueError(
                f"{workdir} holds the run of another config; differing: {'; '.join(changed)}. "
                "Choose another workdir, or allow the change"
            )
        if parallel.is_primary():
            write_whole(path, json.dumps(config.to_dict(), indent=2) + "\n")
            write_whole(workdir / "environment.json", json.dumps(environment(), indent=2) + "\n")
    except (OSError, json.JSONDecodeError) as error:
        raise OSError(f"workdir {workdir} cannot be used: {error}") from error


def record_corruption(workdir: pathlib.Path, corruption: Corruption) -> None:
    """Saves corruption.npz, or checks that the one there is the same.

    Raises:
      ValueError: the workdir's corruption is another one: the data or their code changed.
    """
    path = workdir / "corruption.npz"
    if not path.exists():
        if parallel.is_primary():
            corruption.save(path)
        return
    found = Corruption.load(path).hash
    if found != corruption.hash:
        raise ValueError(
            f"{path} has hash {found}, but this config now gives {corruption.hash}: "
            "the training labels are not those the run began with"
        )


@contextlib.contextmanager
def held(workdir: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from training in a workdir; the first host does it for all.

    Raises:
      OSError: one does already.
    """
    if not parallel.is_primary():
        yield
        return
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(workdir / "lock", wait=False))
        except BlockingIOError:
            raise OSError(f"another process trains in {workdir}") from None
        yield


@contextlib.contextmanager
def locked(path: pathlib.Path, *, wait: bool = True) -> Iterator[None]:
    """Holds a lock that other processes respect; the file stays, empty.

    Raises:
      BlockingIOError: another process holds it, and this one is not to wait.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def write_whole(path: pathlib.Path, text: str) -> None:
    """Writes a text file that appears whole or not at all."""
    partial = path.with_name(path.name + ".partial")
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)
