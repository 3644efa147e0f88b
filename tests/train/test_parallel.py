"""One computation, however it is spread: 1, 2 or 8 devices, jit or pmap, give the same numbers."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax.models import convolution
from dm_jax.train import build, parallel
from dm_jax.train.config import ParallelConfig
from dm_jax.train.engine import IN_FLIGHT, as_ready
from tests.train import tiny

SPREADS = [
    ("jit", 8),
    ("pmap", 8),
    *(
        pytest.param(*spread, marks=pytest.mark.long)
        for spread in [("jit", 2), ("pmap", 1), ("pmap", 2)]
    ),
]


@pytest.fixture(scope="module", params=["float64", pytest.param("float32", marks=pytest.mark.long)])
def reference(request):
    """(experiment, state, totals, tolerance) of 20 steps on one device, a padded batch among them.

    In float32, where sums are taken in another order, the tolerance is what 20 steps make of
    initial weights that are all rounded anew.
    """
    with jax.enable_x64(request.param == "float64"):
        built = tiny.experiment(model__dtype=request.param)
        assert not built.sampler.batches(0, 20)[1].all()
        running = tiny.engine(built)
        state, totals = tiny.train(running)
        tolerance = 1e-9
        if request.param == "float32":
            rounded, _ = tiny.train(running, _rounded_anew(built.create_state(0)))
            tolerance = 10 * tiny.distance(state.params, rounded.params)
            assert tolerance < 0.2
        yield built, state, totals, tolerance


def _rounded_anew(state):
    random = np.random.default_rng(0)
    return state.replace(
        params=jax.tree.map(
            lambda x: x * (1 + 1e-7 * random.choice([-1, 1], x.shape)).astype(x.dtype), state.params
        )
    )


@pytest.mark.parametrize(("mode", "devices"), SPREADS)
def test_spreading_the_batch_changes_nothing(reference, mode, devices):
    built, expected, expected_totals, tolerance = reference
    state, totals = tiny.train(tiny.engine(built, mode, devices))
    assert tiny.distance(expected.params, state.params) < tolerance
    assert tiny.distance(expected.batch_stats, state.batch_stats) < tolerance
    for name, mean in expected_totals.means().items():
        assert totals.means()[name] == pytest.approx(mean, rel=max(tolerance, 1e-5))
    assert int(totals.first_nonfinite) == int(expected_totals.first_nonfinite)


@pytest.mark.parametrize(("mode", "devices"), SPREADS)
def test_evaluation_is_exact_however_the_padding_falls(mode, devices):
    """359 test images in batches of 100: the last is padded, and more so over 8 devices."""
    built = tiny.experiment(train__evaluate_batch=100)
    running = tiny.engine(built, mode, devices)
    state = built.create_state(3)
    inputs = built.settings.preprocess(built.dataset.test.inputs)
    logits = built.settings.model.apply(
        {"params": state.params, "batch_stats": state.batch_stats}, inputs
    )
    losses = -jax.nn.log_softmax(logits)[np.arange(359), built.dataset.test.labels]
    right = logits.argmax(-1) == built.dataset.test.labels
    values = running.evaluate_all(running.place(state), last=False)
    assert values["test_accuracy"] == np.float32(right.sum()) / np.float32(359)
    assert values["test_loss"] == pytest.approx(float(losses.mean()), rel=1e-5)


def test_many_batches_are_evaluated_on_many_devices():
    """Ninety, far more than the calls that simulated devices can have waiting."""
    built = tiny.experiment(train__evaluate_batch=16)
    running = tiny.engine(built, "jit", 8)
    values = running.evaluate_all(running.place(built.create_state(3)), last=True)
    alone = tiny.engine(built, "jit", 1).evaluate_all(built.create_state(3), last=True)
    assert values["fit_accuracy"] == alone["fit_accuracy"]


def test_results_are_ready_in_order_and_few_are_under_way():
    begun, seen = [], []
    for result in as_ready(begun.append(i) or jnp.int32(i) for i in range(10)):
        seen.append(int(result))
        assert len(begun) <= len(seen) + IN_FLIGHT
    assert seen == list(range(10))


def _collectives(running) -> list[tuple[str, list[int]]]:
    """(operation, elements of each operand) of every collective of the compiled training step."""
    built = running.experiment
    state = running.place(built.create_state(0))
    block = running.block(0, 1)
    return tiny.collectives(running.lower(state, block))


def _sizes(params) -> list[int]:
    return sorted(leaf.size for leaf in jax.tree.leaves(params))


def test_pmap_sums_the_gradients_in_one_collective():
    built = tiny.experiment()
    parameters = sum(_sizes(built.create_state(0).params))
    collectives = _collectives(tiny.engine(built, "pmap", 8))
    sums = [sizes for operation, sizes in collectives if operation == "all-reduce"]
    assert sums.count([parameters]) == 1
    # BatchNorm: per layer two sums forward and their two transposes, of which two carry a count.
    others = [sum(sizes) for sizes in sums if sizes != [parameters]]
    assert max(others) <= 2 * (8 + 1)
    assert sum(others) <= 2 * (2 * 8 + 2 * 9) + 8
    gathered = [sizes for operation, sizes in collectives if operation != "all-reduce"]
    assert gathered == [[5 * 200]]  # five numbers an example, for the metrics


def test_jit_sums_the_gradients_in_one_collective():
    built = build.experiment(tiny.config(train__batch_size=200))
    gradients = _sizes(built.create_state(0).params)
    sums = [sizes for _, sizes in _collectives(tiny.engine(built, "jit", 8)) if max(sizes) > 1]
    assert [sorted(size for size in sizes if size > 1) for sizes in sums] == [gradients]


def test_jit_communicates_gradients_and_batch_statistics_only(monkeypatch):
    """Where BatchNorm waits for sums within the backward pass, XLA lets gradients travel along."""
    # As on an accelerator: the gradient of a kernel in one part.
    monkeypatch.setattr(convolution, "_PART", 200)
    built = tiny.experiment()
    collectives = _collectives(tiny.engine(built, "jit", 8))
    assert {operation for operation, _ in collectives} == {"all-reduce"}
    moved = [size for _, sizes in collectives for size in sizes if size > 1]
    kernels = [size for size in _sizes(built.create_state(0).params) if size > 10]
    assert sorted(size for size in moved if size > 10) == kernels
    # Per layer 8 channels: two sums forward, at most six of 8 backward; and the classifier's bias.
    assert sum(size for size in moved if size <= 10) <= 2 * 8 * 8 + 10


@pytest.mark.parametrize("mode", ["jit", "pmap"])
def test_a_batch_that_does_not_divide_over_the_devices(mode):
    with pytest.raises(ValueError, match="batch_size 100 does not divide over 8 devices"):
        tiny.engine(tiny.experiment(train__batch_size=100), mode, 8)


def test_more_devices_than_there_are():
    with pytest.raises(ValueError, match=r"config.parallel.devices is 9, but there are 8"):
        parallel.make_mesh(ParallelConfig(devices=9))


def test_hosts_are_not_left_out_without_a_word():
    with pytest.raises(ValueError, match=r"'host:1', processes 2 and .*distributed=true"):
        parallel.initialize(ParallelConfig(coordinator="host:1", processes=2))
    with pytest.raises(ValueError, match=r"process 1 require .*distributed=true"):
        parallel.initialize(ParallelConfig(process=1))


def test_every_host_needs_a_device(monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)  # all eight devices are of the first
    with pytest.raises(ValueError, match=r"takes \[8, 0\] devices of the hosts: every host needs"):
        parallel.make_mesh(ParallelConfig())


def _two_hosts(monkeypatch, hosts=(0, 0, 1, 1), own=1) -> list:
    """Devices of these hosts, as the host `own` sees them."""
    devices = [types.SimpleNamespace(process_index=host) for host in hosts]
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    monkeypatch.setattr(jax, "process_index", lambda: own)
    monkeypatch.setattr(jax, "devices", lambda: devices)
    return devices


def test_only_pmap_needs_as_many_devices_on_every_host(monkeypatch):
    _two_hosts(monkeypatch, (0, 0, 1))
    with pytest.raises(ValueError, match=r"takes \[2, 1\] devices of the hosts: .*in mode 'pmap'"):
        parallel.make_mesh(ParallelConfig(mode="pmap"))
    monkeypatch.setattr(parallel, "Mesh", lambda devices, axes: devices.shape)
    assert parallel.make_mesh(ParallelConfig()) == (1, 3)


def test_a_process_joins_the_others_by_its_number(monkeypatch):
    joined = []
    monkeypatch.setattr(jax.distributed, "initialize", lambda *how: joined.append(how))
    known = {"distributed": True, "coordinator": "host:1", "processes": 2}
    for process in range(2):
        parallel.initialize(ParallelConfig(**known, process=process))
    parallel.initialize(ParallelConfig(distributed=True))  # SLURM knows the rest
    parallel.initialize(ParallelConfig())
    assert joined == [("host:1", 2, 0), ("host:1", 2, 1), ()]
    with pytest.raises(ValueError, match=r"process must be in \[0, 2\).* got 2"):
        parallel.initialize(ParallelConfig(**known, process=2))


def test_what_one_host_is_told_and_what_the_first_knows_are_of_all(monkeypatch):
    _two_hosts(monkeypatch)
    other = False

    def gather(own):
        return np.array([own, other])

    monkeypatch.setattr(parallel.multihost_utils, "process_allgather", gather)
    for other in (False, True):
        assert [parallel.any_host(own) for own in (False, True)] == [other, True]
    monkeypatch.setattr(parallel.multihost_utils, "broadcast_one_to_all", lambda number: number)
    assert [parallel.broadcast_from_primary(n) for n in (None, 0, 7)] == [None, 0, 7]
    assert parallel.broadcast_text("β of the first") == "β of the first"


def test_a_host_places_its_own_part(monkeypatch):
    mesh = parallel.make_mesh(ParallelConfig(), runs=8)
    tree = {"key": jax.random.split(jax.random.key(0), 8), "x": jnp.arange(16).reshape(8, 2)}
    devices = _two_hosts(monkeypatch)
    placed = parallel.shard_members(tree, mesh)  # from each device's part, as hosts do
    np.testing.assert_array_equal(placed["x"], tree["x"])
    np.testing.assert_array_equal(*(jax.random.key_data(t["key"]) for t in (placed, tree)))
    of_both = types.SimpleNamespace(devices=np.array([devices]), size=4, local_mesh="own devices")
    parts = parallel._by_device(np.arange(16).reshape(2, 8), of_both)
    np.testing.assert_array_equal(parts, [[[4, 5], [12, 13]], [[6, 7], [14, 15]]])
    assert parallel.placement_mesh(of_both, "pmap") == "own devices"
    assert parallel.placement_mesh(of_both, "jit") is of_both


def test_a_run_axis_that_does_not_divide_the_devices():
    with pytest.raises(ValueError, match="run axis of 3 does not divide 8 devices"):
        parallel.make_mesh(ParallelConfig(), runs=3)


def test_a_mesh_has_the_run_axis_first():
    mesh = parallel.make_mesh(ParallelConfig(devices=4), runs=2)
    assert dict(mesh.shape) == {"run": 2, "data": 2}
