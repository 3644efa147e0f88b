"""Every network by name: shapes, dtypes and collections; and the names and values refused."""

import re
from functools import partial

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import models
from dm_jax.models.norm import BatchNorm
from tests.models.written_forward import random_variables

SMALL = ("resnet20", "resnet32", "resnet44", "resnet56", "resnet110")
SIDES = {name: 32 if name in SMALL or name.endswith("_32") else 224 for name in models.names()}
FEATURES = {"mlp": 8, "resnet34": 512, "resnet50": 2048, "googlenet": 1024, "inception_v2": 1024}


@pytest.mark.parametrize(
    ("name", "dtype"),
    [(name, "bfloat16") for name in models.names()]
    + [(name, dtype) for name in ("mlp", "resnet20") for dtype in ("float32", "float64")]
    + [("googlenet", "float64"), ("googlenet_32", "float64")],
)
def test_logits_features_and_variables_are_wide(name, dtype):
    """float32, or float64 throughout if that is the dtype of the network."""
    with jax.enable_x64(dtype == "float64"):
        wide = jnp.dtype("float64" if dtype == "float64" else "float32")
        model = models.create(name, num_classes=7, dtype=dtype)
        x = jax.ShapeDtypeStruct((2, SIDES[name], SIDES[name], 3), wide)

        variables = jax.eval_shape(model.init, jax.random.key(0), x)
        (logits, features), updated = jax.eval_shape(partial(_train, model), variables, x)

    assert variables.keys() <= {"params", "batch_stats"}
    statistics = {name: tree for name, tree in variables.items() if name == "batch_stats"}
    assert jax.tree.structure(updated) == jax.tree.structure(statistics)
    assert {leaf.dtype for leaf in jax.tree.leaves((variables, updated, logits, features))} == {
        wide
    }
    assert logits.shape == (2, 7)
    assert features.shape == (2, FEATURES.get(name, features.shape[1]))


def test_masked_examples_change_neither_the_other_logits_nor_the_statistics():
    model = models.create("resnet20", num_classes=10)
    x = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
    where = jnp.array([True, True, False, True])
    variables = random_variables(model, x.shape)
    train = jax.jit(partial(_train, model))

    logits, stats = train(variables, x, where)
    spoiled_logits, spoiled_stats = train(variables, x.at[2].set(100.0), where)

    np.testing.assert_allclose(logits[0][where], spoiled_logits[0][where], atol=1e-5)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), stats, spoiled_stats)


@pytest.mark.parametrize(
    "name", [name for name in models.names() if name not in ("mlp", "googlenet")]
)
def test_all_batch_statistics_span_the_mapped_axis(name):
    """Each BatchNorm sums twice over the devices, in every network."""
    model = models.create(name, num_classes=3, axis_name="data")
    x = jax.ShapeDtypeStruct((2, SIDES[name], SIDES[name], 3), jnp.float32)
    variables = jax.eval_shape(model.init, jax.random.key(0), x)
    program = jax.make_jaxpr(partial(_train, model), axis_env=[("data", 2)])(variables, x)
    norms = len(jax.tree.leaves(variables["batch_stats"])) // 2  # a mean and a variance each
    assert str(program).count("psum") >= 2 * norms


@pytest.mark.parametrize(
    "name", ["resnet20", "resnet18", "resnet50", "resnet18_32", "googlenet_32", "inception_v2"]
)
def test_every_batch_normalisation_sees_the_mask(name):
    options = {"auxiliary": True} if name == "googlenet_32" else {}
    model = models.create(name, num_classes=3, **options)
    x = jax.ShapeDtypeStruct((2, SIDES[name], SIDES[name], 3), jnp.float32)
    where = jax.ShapeDtypeStruct((2,), bool)
    masked = []

    def note(normalise, arguments, keywords, context):
        if isinstance(context.module, BatchNorm):
            _, train, mask = arguments
            masked.append(train and mask is not None)
        return normalise(*arguments, **keywords)

    with nn.intercept_methods(note):
        init = partial(model.init, train=True)
        variables = jax.eval_shape(init, jax.random.key(0), x, where=where)
    assert masked == [True] * (len(jax.tree.leaves(variables["batch_stats"])) // 2)


@pytest.mark.parametrize("name", ["resnet20", "resnet18", "resnet50", "googlenet", "inception_v2"])
def test_all_but_the_classifiers_compute_in_the_dtype_of_the_network(name):
    options = {"auxiliary": True} if name == "googlenet" else {}
    model = models.create(name, num_classes=3, dtype="bfloat16", **options)
    x = jax.ShapeDtypeStruct((2, SIDES[name], SIDES[name], 3), jnp.float32)
    program = str(jax.make_jaxpr(model.init)(jax.random.key(0), x))
    products = re.findall(r"(\w+)\[[\d,]*\] = (?:conv_general_dilated|dot_general)", program)
    assert set(products) == {"bf16", "f32"}
    assert products.count("f32") == (3 if options else 1)


def _train(model, variables, x, where=None):
    return model.apply(
        variables, x, train=True, where=where, features=True, mutable=["batch_stats"]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "resnet444"}, "unknown model 'resnet444'; did you mean 'resnet44'"),
        ({"name": "mlp", "hiden": (8,)}, "unknown option of mlp 'hiden'; did you mean 'hidden'"),
        ({"name": "resnet20", "depth": 8}, "unknown option of resnet20 'depth'"),
        ({"name": "googlenet", "small_images": True}, r"unknown option .* Known: auxiliary"),
        ({"name": "mlp", "hidden": (8, 0)}, r"hidden takes positive integers, got \(8, 0\)"),
        ({"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ({"dropout": 1.0}, r"dropout must be in \[0, 1\), got 1.0"),
        ({"dropout": -0.1}, r"dropout must be in \[0, 1\), got -0.1"),
        ({"dtype": "float16"}, "unknown dtype 'float16'; did you mean 'bfloat16'"),
        ({"dtype": "float23"}, "unknown dtype 'float23'; did you mean 'float32'"),
        ({"dtype": "float64"}, "jax_enable_x64"),
    ],
)
def test_refused_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        models.create(**{"name": "resnet20", "num_classes": 10, **arguments})


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("resnet44", (2, 4, 4, 3), "resnet44 takes images of at least 8x8, got 4x4"),
        ("resnet50", (2, 28, 28, 3), "resnet50 takes images of at least 32x32, got 28x28"),
        ("googlenet", (2, 16, 16, 3), "googlenet takes images of at least 32x32"),
        ("inception_v2", (2, 240, 240, 3), "multiples of 32, got 240x240"),
        ("resnet20", (2, 64), r"\[B, H, W, C\], got shape \(2, 64\)"),
    ],
)
def test_images_that_do_not_fit_are_refused(name, shape, message):
    model = models.create(name, num_classes=10)
    with pytest.raises(ValueError, match=message):
        jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))


@pytest.mark.parametrize(
    ("name", "side"),
    [
        ("resnet20", 8),
        ("resnet18", 32),
        ("resnet18_32", 8),
        ("googlenet", 32),
        ("googlenet_32", 8),
        ("inception_v2", 32),
    ],
)
def test_the_smallest_images_are_accepted(name, side):
    model = models.create(name, num_classes=10)
    init = partial(jax.eval_shape, model.init, jax.random.key(0))
    init(jax.ShapeDtypeStruct((2, side, side, 3), jnp.float32))
    with pytest.raises(ValueError, match=f"{side}x{side}.*, got {side}x{side - 1}"):
        init(jax.ShapeDtypeStruct((2, side, side - 1, 3), jnp.float32))


@pytest.mark.parametrize(
    ("where", "got"),
    [(np.ones(4, np.float32), r"float32 \[4\]"), (np.ones(3, bool), r"bool \[3\]")],
)
def test_a_mask_that_does_not_fit_is_refused(where, got):
    model = models.create("mlp", num_classes=2)
    with pytest.raises(ValueError, match=rf"where must be bool \[4\], got {got}"):
        model.init(jax.random.key(0), jnp.zeros((4, 3)), where=where)
