"""Outputs equal a forward pass written in NumPy, with batch and with running statistics."""

import jax
import numpy as np
import pytest
from flax import traverse_util

from dm_jax import models
from tests.models import written_forward
from tests.models.written_forward import Forward, random_variables

SIDES = {
    "resnet44": 32,
    "resnet18_32": 16,
    "resnet50": 128,
    "googlenet_32": 16,
    "inception_v2": 96,
}
LONG = ("resnet50", "inception_v2")


@pytest.mark.parametrize(
    "name", [pytest.param(n, marks=pytest.mark.long) if n in LONG else n for n in SIDES]
)
def test_outputs_and_statistics_equal_a_numpy_forward(name):
    """The moments that the training pass saw serve as running statistics of the second pass."""
    model = models.create(name, num_classes=10)
    shape = (2, SIDES[name], SIDES[name], 3)
    images = np.random.default_rng(1).normal(size=(2, *shape)).astype(np.float32)
    variables = random_variables(model, shape)
    written = getattr(written_forward, name)

    batch = Forward(variables)
    expected = written(batch, images[0])
    train = jax.jit(lambda v, x: model.apply(v, x, train=True, mutable=["batch_stats"]))
    logits, updated = train(variables, images[0])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)
    assert_moved(variables["batch_stats"], updated["batch_stats"], batch.seen)

    variables = {**variables, "batch_stats": running(batch.seen)}
    expected = written(Forward(variables, moments=batch.seen), images[1])
    logits = jax.jit(model.apply)(variables, images[1])
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("name", ["googlenet", "resnet50", "inception_v2"])
def test_outputs_for_large_pixels_equal_a_numpy_forward(name):
    """So large that GoogLeNet's response normalisation shows; with running statistics alone."""
    model = models.create(name, num_classes=10)
    images = 100 * np.random.default_rng(1).normal(size=(2, 64, 64, 3)).astype(np.float32)
    variables = random_variables(model, images.shape)
    statistics = traverse_util.flatten_dict(variables.get("batch_stats", {}), sep="/")
    moments = {
        path.removesuffix("/norm/mean"): (mean, statistics[path.replace("mean", "var")])
        for path, mean in statistics.items()
        if path.endswith("mean")
    }

    logits = jax.jit(model.apply)(variables, images)

    expected = getattr(written_forward, name)(Forward(variables, moments=moments), images)
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


def running(moments):
    """The collection "batch_stats" that holds these moments."""
    flat = {}
    for path, (mean, var) in moments.items():
        flat[f"{path}/norm/mean"], flat[f"{path}/norm/var"] = np.float32(mean), np.float32(var)
    return traverse_util.unflatten_dict(flat, sep="/")


def assert_moved(before, after, moments):
    """Running statistics went a tenth of the way to the moments of the batch."""
    before, after, moments = (
        traverse_util.flatten_dict(tree, sep="/") for tree in (before, after, running(moments))
    )
    assert before.keys() == after.keys() == moments.keys()
    for path, value in after.items():
        expected = 0.9 * before[path] + 0.1 * moments[path]
        np.testing.assert_allclose(value, expected, rtol=1e-4, atol=1e-5)
