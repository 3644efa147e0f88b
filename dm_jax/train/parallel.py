"""Wrappers that run one step function on many devices and hosts.

"jit" is the global view: one program over a mesh with axes ("run", "data") that the compiler
partitions, so that batch statistics and sums are global by construction. "pmap" gives every device
its part of the batch and an axis name. Both give the same numbers.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from dm_jax.train.config import ParallelConfig

DATA, RUN = "data", "run"


def initialize(config: ParallelConfig) -> None:
    """Connects to the other hosts, if there are any; call it before anything else uses JAX.

    Without a coordinator, JAX detects it under SLURM, Open MPI and on TPU pods.

    Raises:
      ValueError: a process number that is not below the number of processes, or hosts without
        `distributed`.
    """
    if not config.distributed and (config.coordinator or config.processes or config.process):
        raise ValueError(
            f"config.parallel.coordinator {config.coordinator!r}, processes {config.processes} and "
            f"process {config.process} require config.parallel.distributed=true"
        )
    if not config.distributed or jax.distributed.is_initialized():
        return
    if not config.coordinator:
        jax.distributed.initialize()
    elif 0 <= config.process < config.processes:
        jax.distributed.initialize(config.coordinator, config.processes, config.process)
    else:
        raise ValueError(
            f"config.parallel.process must be in [0, {config.processes}), the number of "
            f"config.parallel.processes, got {config.process}"
        )


def is_primary() -> bool:
    """Whether this is the first host, which writes files and shows progress."""
    return jax.process_index() == 0


def any_host(flag: bool) -> bool:
    """Whether `flag` is true on any host; every host must call it, and waits for the others."""
    if jax.process_count() == 1:
        return flag
    return bool(multihost_utils.process_allgather(np.array(flag)).any())


def broadcast_from_primary(number: int | None) -> int | None:
    """The number, at least 0, or None of the first host; every host must call it."""
    if jax.process_count() == 1:
        return number
    known = np.array(-1 if number is None else number)
    found = int(multihost_utils.broadcast_one_to_all(known))
    return None if found < 0 else found


def broadcast_text(text: str) -> str:
    """The text of the first host; every host must call it."""
    if jax.process_count() == 1:
        return text
    content = np.frombuffer(text.encode(), np.uint8)
    size = broadcast_from_primary(len(content))
    # All hosts must pass the same shape; only the content of the first is used.
    found = multihost_utils.broadcast_one_to_all(np.resize(content, size))
    return bytes(np.asarray(found, np.uint8)).decode()


def raise_on_all_hosts(problem: Exception | None, elsewhere: str) -> None:
    """Raises the problem on the hosts that have it, on the others an OSError `elsewhere`."""
    if any_host(problem is not None):
        raise problem or OSError(f"{elsewhere}; see its error")


def barrier() -> None:
    """Waits until every host has called it."""
    any_host(False)


def devices_per_host(devices: Sequence[jax.Device]) -> list[int]:
    """How many of these devices each host has."""
    hosts = [device.process_index for device in devices]
    return np.bincount(hosts, minlength=jax.process_count()).tolist()


def make_mesh(config: ParallelConfig, *, runs: int = 1) -> Mesh:
    """A mesh of shape (run, data).

    Args:
      config: `devices` of 0 means all.
      runs: size of the run axis, over which a population's members are spread.

    Raises:
      ValueError: more devices than there are, not a multiple of `runs`, or too few for every host.
    """
    devices = jax.devices()
    wanted = config.devices or len(devices)
    if wanted > len(devices):
        raise ValueError(f"config.parallel.devices is {wanted}, but there are {len(devices)}")
    counts = devices_per_host(devices[:wanted])
    if 0 in counts or (config.mode == "pmap" and len(set(counts)) > 1):
        raise ValueError(
            f"config.parallel.devices of {wanted} takes {counts} devices of the hosts: "
            "every host needs one, and in mode 'pmap' all the same number; 0 takes all devices"
        )
    if wanted % runs:
        raise ValueError(f"a run axis of {runs} does not divide {wanted} devices")
    return Mesh(np.array(devices[:wanted]).reshape(runs, -1), (RUN, DATA))


def check_batch(mesh: Mesh, size: int) -> None:
    """Raises ValueError unless a batch of `size` divides over the data axis."""
    if size % mesh.shape[DATA]:
        raise ValueError(
            f"config.train.batch_size {size} does not divide over {mesh.shape[DATA]} devices"
        )


def check_equal_shares(mesh: Mesh) -> None:
    """Raises ValueError unless all hosts, which feed equal shares, have equally many devices."""
    counts = devices_per_host(list(mesh.devices.flat))
    if len(set(counts)) > 1:
        raise ValueError(
            f"streams need the same number of devices on every host, got {counts}; "
            "config.parallel.devices of 0 takes all"
        )


def compile_step(
    make_step: Callable[..., Any], mesh: Mesh, mode: str, *, donate: bool, members: bool = False
):
    """Compiles `step(state, data, block)` for the devices of a mesh.

    Args:
      make_step: `make_step(axis_name=...)` returns the step. The name is None in mode "jit", where
        arrays are global, and "data" in mode "pmap", where a block is one device's part.
      mesh: from `make_mesh`.
      mode: "jit" or "pmap".
      donate: whether the state is donated.
      members: whether the step's results have a leading axis of members, to shard over "run".

    Returns:
      The compiled step, for `data` from `replicate` and blocks from `shard_block`.
    """
    donated = (0,) if donate else ()
    if mode == "pmap":
        return jax.pmap(
            make_step(axis_name=DATA),
            axis_name=DATA,
            in_axes=(None, None, 0),
            out_axes=None,
            devices=list(mesh.devices.flat),
            donate_argnums=donated,
        )
    returned = NamedSharding(mesh, PartitionSpec(RUN) if members else PartitionSpec())
    return jax.jit(make_step(axis_name=None), donate_argnums=donated, out_shardings=returned)


def placement_mesh(mesh: Mesh, mode: str) -> Mesh:
    """The mesh for `replicate` and `shard_members`; for pmap, of this host's devices only."""
    return mesh.local_mesh if mode == "pmap" else mesh


def replicate(tree: Any, mesh: Mesh) -> Any:
    """Replicates `tree` on every device; every host passes the same values."""
    return _put(tree, NamedSharding(mesh, PartitionSpec()))


def shard_members(tree: Any, mesh: Mesh) -> Any:
    """Shards arrays [members, ...] over the run axis."""
    return _put(tree, NamedSharding(mesh, PartitionSpec(RUN)))


def shard_block(block: Any, mesh: Mesh, mode: str) -> Any:
    """Shards a block of arrays [k, B] or [k, orders, B] over devices by B (and orders).

    Every host passes the whole block (indices into data that all of them hold).
    """
    if mode == "pmap":
        own = NamedSharding(mesh.local_mesh, PartitionSpec((RUN, DATA)))
        return _put(jax.tree.map(lambda array: _by_device(array, mesh), block), own)
    return jax.tree.map(lambda array: _put(array, _batch_sharding(mesh, array.shape)), block)


def shard_share(share: Any, mesh: Mesh, mode: str) -> Any:
    """Shards arrays [b, ...], this host's share of a batch, as a block of one step."""
    if mode == "pmap":
        local = mesh.local_mesh
        by_device = NamedSharding(local, PartitionSpec((RUN, DATA)))
        parts = jax.tree.map(lambda x: x.reshape(local.size, 1, -1, *x.shape[1:]), share)
        return jax.device_put(parts, by_device)
    sharding = NamedSharding(mesh, PartitionSpec(None, DATA))
    return jax.tree.map(lambda x: jax.make_array_from_process_local_data(sharding, x[None]), share)


def _batch_sharding(mesh: Mesh, shape: tuple[int, ...]) -> NamedSharding:
    """Shards [k, B] by B; [k, orders, B] by orders too, if their number divides."""
    if len(shape) == 2:
        return NamedSharding(mesh, PartitionSpec(None, DATA))
    orders = RUN if shape[1] % mesh.shape[RUN] == 0 else None
    return NamedSharding(mesh, PartitionSpec(None, orders, DATA))


def _by_device(array: np.ndarray, mesh: Mesh) -> np.ndarray:
    """The parts of [k, B] for this host's devices, [local devices, k, B / devices]."""
    own = [device.process_index == jax.process_index() for device in mesh.devices.flat]
    return array.reshape(len(array), mesh.size, -1).swapaxes(0, 1)[own]


def _put(tree: Any, sharding: NamedSharding) -> Any:
    if jax.process_count() == 1:
        return jax.device_put(tree, sharding)

    def place(array):
        if jax.dtypes.issubdtype(array.dtype, jax.dtypes.prng_key):
            return jax.random.wrap_key_data(place(jax.random.key_data(array)))
        array = np.asarray(array)
        return jax.make_array_from_callback(array.shape, sharding, lambda part: array[part])

    return jax.tree.map(place, tree)
