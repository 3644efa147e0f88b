"""The folder of a single run: its config, corruption and environment."""

import contextlib
import datetime
import pathlib
import platform
from collections.abc import Iterator
from importlib import metadata
from typing import Any

import jax
import numpy as np

from dm_jax import files
from dm_jax.noise import Corruption
from dm_jax.train import hardware, parallel, weight_profile
from dm_jax.train.config import Config, ParallelConfig
from dm_jax.train.differences import differences
from dm_jax.train.setup import Experiment

# Holds what a trained network needs besides the config and the weights (`train.load`).
NETWORK_FILE = "network.json"
_PACKAGES = ("dm_jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "numpy")


def environment(config: ParallelConfig) -> dict[str, Any]:
    """Package versions, the devices of a run, and the date (ISO 8601, UTC)."""
    return {
        "versions": {"python": platform.python_version()} | {p: _version(p) for p in _PACKAGES},
        "device": hardware.devices(config.devices),
        "processes": jax.process_count(),
        "date": now(),
    }


def now() -> str:
    """The date and time, ISO 8601, UTC, in whole seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def changes(workdir: pathlib.Path, config: Config) -> list[str]:
    """The `differences` from the config in the workdir, if it holds one."""
    with _usable(workdir):
        if not (workdir / "config.json").exists() and any(workdir.glob("checkpoints/[0-9]*")):
            raise ValueError("it has checkpoints but no config.json, which says of what run")
        old = _read_if_there(workdir / "config.json")
    return differences(old, config.to_dict()) if old else []


def check(workdir: pathlib.Path, experiment: Experiment, *, allow_changes: bool = False) -> None:
    """Raises if the workdir holds another run; writes nothing.

    Args:
      workdir: need not exist.
      experiment: the one that is to start or resume.
      allow_changes: whether the config may differ.

    Raises:
      ValueError: it holds a run with another config (names the keys), other training labels,
        other data or another scheme, because they or their code changed.
      OSError: it cannot be read.
    """
    config, corruption = experiment.config, experiment.corruption
    fingerprint = experiment.dataset.fingerprint
    with _usable(workdir):
        begun = _read_if_there(workdir / "environment.json")
    if (changed := changes(workdir, config)) and not allow_changes:
        raise ValueError(
            f"{workdir} holds a run with a different config; changed keys: {'; '.join(changed)}. "
            "Choose another workdir, or allow the change (--allow_config_change)"
        )
    path = workdir / "corruption.npz"
    found = Corruption.load(path).hash if path.exists() else corruption.hash
    if found != corruption.hash:
        raise ValueError(
            f"{path} has hash {found}, but this config now gives {corruption.hash}: "
            "the training labels are not those the run started with"
        )
    if (begun_with := begun.get("data") or fingerprint) != fingerprint:
        raise ValueError(
            f"{workdir} holds a run on data of fingerprint {begun_with!r}, but that of "
            f"{experiment.dataset.name} is {fingerprint!r} now: it was prepared again, "
            "config.data.data_dir changed, or another data set was passed"
        )
    used, now = begun.get("weight_profile", []), weight_profile.profile(config.loss)
    if not weight_profile.same(used, now) and not allow_changes:
        raise ValueError(
            f"{workdir} holds a run with other weights of {config.loss.name}: its code has "
            "changed. Choose another workdir, or allow the change (--allow_config_change)"
        )


def _read_if_there(path: pathlib.Path) -> dict[str, Any]:
    return files.read_json(path) if path.exists() else {}


def record(workdir: pathlib.Path, experiment: Experiment) -> None:
    """On the first host, writes config, environment, network (JSON) and corruption (.npz)."""
    if not parallel.is_primary():
        return
    config = experiment.config
    contents = {
        "config.json": config.to_dict(),
        "environment.json": environment(config.parallel)
        | {
            "data": experiment.dataset.fingerprint,
            "weight_profile": weight_profile.profile(config.loss),
        },
        NETWORK_FILE: _network(experiment),
    }
    with _usable(workdir):
        for left_over in workdir.glob("*.partial"):  # by a start that was killed
            left_over.unlink()
        if not (workdir / "corruption.npz").exists():
            experiment.corruption.save(workdir / "corruption.npz")
        for name, content in contents.items():
            files.write_json(workdir / name, content)


def _network(experiment: Experiment) -> dict[str, Any]:
    """Classes, and shape, dtype and normalisation of an input."""
    example, settings = experiment.example, experiment.settings
    return {
        "class_names": list(experiment.dataset.class_names),
        "shape": list(example.shape[1:]),
        "dtype": np.dtype(example.dtype).name,
        "mean": [float(value) for value in settings.mean],
        "std": [float(value) for value in settings.std],
    }


class WorkdirInUseError(OSError):
    """Another process trains in the workdir."""


@contextlib.contextmanager
def lock(workdir: pathlib.Path) -> Iterator[None]:
    """On the first host, creates a workdir and keeps other processes from training there.

    Raises, on all hosts:
      WorkdirInUseError: another process trains there.
      OSError: the folder cannot be used.
    """
    with contextlib.ExitStack() as stack:
        problem = _enter_lock(workdir, stack) if parallel.is_primary() else None
        parallel.raise_on_all_hosts(problem, f"the first host cannot use workdir {workdir}")
        yield


def _enter_lock(workdir: pathlib.Path, stack: contextlib.ExitStack) -> OSError | None:
    """Locks the workdir until the stack ends; returns what prevents it."""
    try:
        with _usable(workdir):
            workdir.mkdir(parents=True, exist_ok=True)
            (workdir / "lock").touch()
        stack.enter_context(files.locked(workdir / "lock", wait=False))
    except BlockingIOError:
        return WorkdirInUseError(f"another process trains in {workdir}")
    except OSError as error:
        return error
    return None


@contextlib.contextmanager
def _usable(workdir: pathlib.Path) -> Iterator[None]:
    """Names the workdir in errors about its files."""
    try:
        yield
    except (OSError, ValueError) as error:
        raise OSError(f"workdir {workdir} cannot be used: {error}") from error
