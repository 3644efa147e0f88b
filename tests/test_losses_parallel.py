"""The loss over eight simulated devices equals the loss on one."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from dm_jax import DM, dm_softmax_cross_entropy

EDF = DM(lam=0.5, beta=8.0)
BATCH, CLASSES = 64, 5


def arguments(spread):
    random = np.random.default_rng(0)
    logits = jnp.asarray(random.normal(size=(BATCH, CLASSES)) * spread, jnp.float32)
    labels = jnp.asarray(random.integers(0, CLASSES, BATCH))
    # Devices hold 8, 7, ... valid examples, and the last one none.
    where = np.ones((8, BATCH // 8), bool)
    for device in range(8):
        where[device, : device if device < 7 else None] = False
    return logits, labels, jnp.asarray(where.ravel())


def mean(logits, labels, where):
    losses = dm_softmax_cross_entropy(logits, labels, EDF, where=where)
    return losses.sum() / where.sum()


def local_share(logits, labels, where):
    """This device's part of the mean over the whole batch."""
    losses = dm_softmax_cross_entropy(logits, labels, EDF, where=where, axis_name="data")
    return losses.sum() / jax.lax.psum(where.sum(), "data")


def mesh():
    return Mesh(np.array(jax.devices()[:8]), ("data",))


def check(got, spread):
    value, gradient = jax.jit(jax.value_and_grad(mean))(*arguments(spread))
    np.testing.assert_allclose(got[0], value, rtol=1e-6)
    np.testing.assert_allclose(got[1], gradient, rtol=1e-5, atol=1e-9)


# A spread of 300 has margins for which the exponentials are computed again, on some devices only.
@pytest.mark.parametrize("spread", [2.0, 300.0])
def test_pmap(spread):
    split = [x.reshape(8, BATCH // 8, *x.shape[1:]) for x in arguments(spread)]
    values, gradients = jax.pmap(jax.value_and_grad(local_share), axis_name="data")(*split)
    check((values.sum(), gradients.reshape(BATCH, CLASSES)), spread)


@pytest.mark.parametrize("spread", [2.0, 300.0])
def test_shard_map(spread):
    def both(*local):
        value, gradient = jax.value_and_grad(local_share)(*local)
        return jax.lax.psum(value, "data"), gradient

    data = P("data")
    mapped = jax.shard_map(both, mesh=mesh(), in_specs=(data,) * 3, out_specs=(P(), data))
    check(jax.jit(mapped)(*arguments(spread)), spread)


@pytest.mark.parametrize("spread", [2.0, pytest.param(300.0, marks=pytest.mark.long)])
def test_shard_map_gradient_of_replicated_parameters(spread):
    """The gradient by parameters that every device holds, summed once over the devices."""
    logits, labels, where = arguments(spread)

    def gradient(scale, *local):
        scale = jax.lax.pcast(scale, "data", to="varying")
        share = jax.grad(lambda s: local_share(local[0] * s, *local[1:]))(scale)
        return jax.lax.psum(share, "data")

    specs = (P(), P("data"), P("data"), P("data"))
    mapped = jax.shard_map(gradient, mesh=mesh(), in_specs=specs, out_specs=P())
    got = jax.jit(mapped)(1.0, logits, labels, where)
    expected = jax.jit(jax.grad(lambda s: mean(logits * s, labels, where)))(1.0)
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("spread", [2.0, 300.0])
def test_sharded_jit(spread):
    sharding = NamedSharding(mesh(), P("data"))
    placed = jax.device_put(arguments(spread), sharding)
    value, gradient = jax.jit(jax.value_and_grad(mean))(*placed)
    assert gradient.sharding.is_equivalent_to(sharding, 2)
    check((value, gradient), spread)
