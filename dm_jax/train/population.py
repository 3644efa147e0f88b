"""Many runs as one program: `jax.vmap` of the same step over a leading axis of members.

Members may differ in EDF (its parameters, or the scheme itself), labels, seed, learning rate and
weight decay. Each member's results are those of a single run up to rounding, which training
amplifies.
"""

import contextlib
import dataclasses
import json
import time
from collections.abc import Hashable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from dm_jax import metrics
from dm_jax.train import parallel, stacked_edfs
from dm_jax.train.array_engine import ArrayEngine
from dm_jax.train.build import ArrayExperiment
from dm_jax.train.config import ParallelConfig
from dm_jax.train.differences import differences
from dm_jax.train.loop import fit
from dm_jax.train.plan import Plan
from dm_jax.train.progress import NoProgress, Progress
from dm_jax.train.state import State
from dm_jax.train.stop_request import StopRequest
from dm_jax.train.summary import Row, Summary


def signature(experiment: ArrayExperiment) -> Hashable:
    """A key that is equal for experiments that can train as one population."""
    return json.dumps(_program(experiment), sort_keys=True)


def _program(experiment: ArrayExperiment) -> dict[str, Any]:
    """The config without what may differ between members, the plan, and the sizes of the splits."""
    config = experiment.config.to_dict()
    config.pop("seed")
    noise, loss = config["noise"], config["loss"]
    config["noise"] = {key: noise[key] for key in ("imbalance", "ratio")}
    if not loss["schedule"]:
        shared = ("normalization", "saturation", "class_weights")
        config["loss"] = {key: loss[key] for key in shared}
    if ":" not in config["optimizer"]["name"]:  # a custom function may read them
        for key in ("learning_rate", "weight_decay"):
            config["optimizer"].pop(key)
    sizes = {name: len(rows) for name, (_, rows) in experiment.evaluated.items()}
    return config | {"plan": dataclasses.asdict(experiment.plan), "examples": sizes}


def train_population(
    experiments: Sequence[ArrayExperiment],
    *,
    mesh: Mesh | None = None,
    progress: Progress | None = None,
) -> list[Summary]:
    """Trains all experiments at once.

    On SIGTERM or Ctrl-C it returns early; unfinished runs are not saved.

    Args:
      experiments: with equal `signature`, and on the same data set object.
      mesh: members are sharded over its run axis, batches over its data axis; default: members
        over the largest number of devices that divides the number of members.
      progress: shows the progress and means over members.

    Returns:
      One summary for each experiment, in their order.

    Raises:
      TypeError: experiments of another type.
      ValueError: experiments that cannot be one program, a mesh that does not divide them, or
        several hosts.
    """
    began = time.monotonic()
    _check_members(experiments)
    engine, state = prepare(experiments, mesh=mesh)
    recorder, step = _train(engine, state, progress or NoProgress())
    seconds = (time.monotonic() - began) / len(experiments)
    return [recorder.summary(engine.experiments.index(e), step, seconds) for e in experiments]


def _check_members(experiments: Sequence[ArrayExperiment]) -> None:
    """Raises TypeError or ValueError if they cannot be one program; names what differs."""
    if not experiments:
        raise ValueError("experiments must not be empty")
    if jax.process_count() > 1:
        raise ValueError(
            f"a population trains on one host, but this process is one of {jax.process_count()}; "
            "use train.run there"
        )
    for experiment in experiments:
        if not isinstance(experiment, ArrayExperiment):
            raise TypeError(
                "experiments must be made by train.experiment on a data set in memory, got "
                f"{type(experiment).__name__}"
            )
    first = _program(experiments[0])
    for number, experiment in enumerate(experiments):
        different = differences(first, _program(experiment), path="experiment", ignored=())
        if different:
            raise ValueError(
                f"a population needs members of one signature, but experiment {number} differs "
                f"from experiment 0: {'; '.join(different[:3])}"
            )
        if experiment.dataset is not experiments[0].dataset:
            raise ValueError(
                "a population needs one data set: pass the same object to all experiments"
            )


def prepare(
    experiments: Sequence[ArrayExperiment], *, mesh: Mesh | None = None
) -> tuple[ArrayEngine, State]:
    """The compiled population and its first state.

    Its members (`engine.experiments`) are sorted by seed: members with the same order of batches
    are adjacent, so that they share inputs.
    """
    members = sorted(experiments, key=lambda experiment: experiment.config.seed)
    mesh = mesh or _run_mesh(members[0].config.parallel, len(members))
    if len(members) % mesh.shape[parallel.RUN]:
        raise ValueError(
            f"mesh has a run axis of {mesh.shape[parallel.RUN]} devices, which does not divide the "
            f"{len(members)} members"
        )
    engine = ArrayEngine(members, mesh, members[0].config.parallel.mode, population=True)
    return engine, engine.place(_create_states(members))


def _train(engine: ArrayEngine, state: State, progress: Progress) -> tuple["_Recorder", int]:
    window = engine.place(engine.empty_totals(state))
    with StopRequest() as stop_requested, contextlib.closing(progress):
        recorder = _Recorder(engine, progress)
        _, step = fit(
            engine, state, recorder, window=window, stop_requested=lambda step: stop_requested()
        )
    return recorder, step


def _run_mesh(config: ParallelConfig, members: int) -> Mesh:
    """A mesh over the largest number of the config's devices that divides that of the members."""
    devices = parallel.make_mesh(config).size
    runs = max(n for n in range(1, devices + 1) if members % n == 0)
    return parallel.make_mesh(dataclasses.replace(config, devices=runs), runs=runs)


def _create_states(members: Sequence[ArrayExperiment]) -> State:
    """The members' states, stacked; one compiled initialisation for all seeds."""
    seeds = jnp.array([member.config.seed for member in members], jnp.uint32)
    state = jax.jit(jax.vmap(members[0].create_state))(seeds)
    optimizers = [member.config.optimizer for member in members]
    hyperparams = {
        name: jnp.array([getattr(config, name) for config in optimizers], old.dtype)
        for name, old in state.opt_state.hyperparams.items()
    }
    return dataclasses.replace(
        state,
        opt_state=state.opt_state._replace(hyperparams=hyperparams),
        edf=stacked_edfs.stack([member.edf for member in members]),
    )


class _Recorder:
    """Keeps the members' metrics in memory."""

    def __init__(self, engine: ArrayEngine, progress: Progress):
        self._engine, self._progress = engine, progress
        self._plan: Plan = engine.experiments[0].plan
        self._rows: list[tuple[int, dict[str, np.ndarray]]] = []
        progress.start(self._plan.total_steps, 0)

    def progress(self, step: int) -> None:
        self._progress.update(step)

    def log(self, step: int, window: metrics.Totals) -> None:
        values = {f"train_{name}": value for name, value in window.means().items()}
        self._rows.append((step, values))
        self._progress.show(step, {"mean loss": float(np.mean(values["train_loss"]))})

    def evaluate(self, step: int, state: State) -> bool:
        last = step == self._plan.total_steps
        self._rows.append((step, self._engine.evaluate_all(state, last=last)))
        return False

    def checkpoint(self, step: int, state: State, window: metrics.Totals) -> None:
        """Does nothing: populations are short, and a table keeps its finished cells."""

    def summary(self, member: int, step: int, seconds: float) -> Summary:
        """The results of one member after `step` steps; `seconds` is its share of the wall time."""
        experiment = self._engine.experiments[member]
        rows: list[Row] = []
        for taken, values in self._rows:
            row = {name: float(value[member]) for name, value in values.items()}
            if "train_loss" in row:
                row["learning_rate"] = float(experiment.learning_rate(jnp.int32(taken - 1)))
            rows.append({"step": taken} | row)
        return Summary.of(
            experiment, rows, step=step, seconds=seconds, devices=self._engine.mesh.size
        )
