"""Parameters and multiply-adds are the published ones, the latter also by XLA's own count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import models
from dm_jax.models import cost

IMAGENET, CIFAR = (1, 224, 224, 3), (1, 32, 32, 3)

# Parameters with 10 classes: He et al. (2016), Table 6, prints .27M, .46M, .66M, .85M and 1.7M.
# Multiply-adds: He et al., "Soft Filter Pruning" (2018), Table 1, but for ResNet-44, which no
# paper at hand prints: 97.2M is two blocks of four between its 32- and 56-layer neighbours.
CIFAR_RESNETS = {
    "resnet20": (0.27e6, 40.6e6),
    "resnet32": (0.46e6, 68.9e6),
    "resnet44": (0.66e6, (68.9e6 + 125.5e6) / 2),
    "resnet56": (0.85e6, 125e6),
    "resnet110": (1.73e6, 253e6),
}

# Exact parameters with 1000 classes and multiply-adds at 224x224.
# ResNets: torchvision's documentation. GoogLeNet: the Caffe model, and Table 1 of the paper, whose
# rows sum to 1502M with 34M for the first convolution, which has 118M (7 * 7 * 3 * 64 * 112 * 112).
# BN-Inception: the Caffe model's PyTorch port, 11,295,240 with a bias for each of its 10,016
# convolution channels, which batch normalisation makes idle and we leave out; 16G for 8 frames in
# Lin et al., "TSM" (2019), Table 2.
IMAGENET_NETWORKS = {
    "resnet18": (11_689_512, 1.814e9),
    "resnet34": (21_797_672, 3.664e9),
    "resnet50": (25_557_032, 4.089e9),
    "googlenet": (6_998_552, (1502 - 34 + 118) * 1e6),
    "inception_v2": (11_295_240 - 10_016, 2.0e9),
}


@pytest.mark.parametrize("name", CIFAR_RESNETS)
def test_cifar_resnets_have_the_published_size(name):
    parameters, multiply_adds = CIFAR_RESNETS[name]
    model = models.create(name, num_classes=10)

    assert cost.parameters(model, CIFAR) == pytest.approx(parameters, rel=0.02)
    assert cost.multiply_adds(model, CIFAR) == pytest.approx(multiply_adds, rel=0.05)
    assert xla_multiply_adds(model, CIFAR) == pytest.approx(multiply_adds, rel=0.05)


@pytest.mark.parametrize("name", IMAGENET_NETWORKS)
def test_imagenet_networks_have_the_published_size(name):
    parameters, multiply_adds = IMAGENET_NETWORKS[name]
    model = models.create(name, num_classes=1000)

    assert cost.parameters(model, IMAGENET) == parameters
    assert cost.multiply_adds(model, IMAGENET) == pytest.approx(multiply_adds, rel=0.05)
    assert xla_multiply_adds(model, IMAGENET) == pytest.approx(multiply_adds, rel=0.05)


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [("resnet18_32", 11_173_962, 0.556e9), ("resnet34_32", 21_282_122, 1.16e9)],
)
def test_cifar_variants_have_the_size_of_the_public_ones(name, parameters, multiply_adds):
    """Those of the noisy-label literature (github.com/kuangliu/pytorch-cifar)."""
    model = models.create(name, num_classes=10)

    assert cost.parameters(model, CIFAR) == parameters
    assert cost.multiply_adds(model, CIFAR) == pytest.approx(multiply_adds, rel=0.05)


def test_auxiliary_heads_of_googlenet_bring_it_to_the_size_of_the_caffe_model():
    model = models.create("googlenet", num_classes=1000, auxiliary=True)

    assert cost.parameters(model, IMAGENET) == 13_378_280


def test_batch_normalisation_replaces_the_biases_of_the_small_googlenet():
    """It differs from the published one by its 3x3 stem and two values a channel instead of one."""
    published = models.create("googlenet", num_classes=1000)
    small = models.create("googlenet_32", num_classes=1000)
    channels = (
        sum(leaf.size for leaf in jax.tree.leaves(_variables(small, CIFAR)["batch_stats"])) // 2
    )

    difference = cost.parameters(small, CIFAR) - cost.parameters(published, IMAGENET)

    assert difference == channels - (7 * 7 - 3 * 3) * 3 * 64


def test_the_mlp_of_table_5_has_one_hidden_layer_of_eight():
    model = models.create("mlp", num_classes=2)

    assert cost.parameters(model, (1, 100)) == 101 * 8 + 9 * 2
    assert cost.multiply_adds(model, (4, 100)) == 4 * (100 * 8 + 8 * 2)


def xla_multiply_adds(model, shape):
    """Half of XLA's operation count, and the products with padding, which XLA does not count.

    Of the program as it is lowered: compiled for CPUs it repeats elementwise work where it fuses.
    """
    variables, x = _variables(model, shape), jax.ShapeDtypeStruct(shape, jnp.float32)
    traced = jax.jit(model.apply).trace(variables, x)
    operations = traced.lower().cost_analysis()["flops"]
    return operations / 2 + padding_products(traced.jaxpr.jaxpr)


def padding_products(jaxpr):
    """Multiply-adds of a program's convolutions that meet a zero of the padding."""
    total = 0
    for equation in jaxpr.eqns:
        if equation.primitive.name == "conv_general_dilated":
            total += _padding_products(equation)
        total += sum(padding_products(inner) for inner in _programs(equation))
    return total


def _padding_products(equation):
    (batch, *sides, channels), kernel = (variable.aval.shape for variable in equation.invars)
    everything = pixels = 1
    for axis, side in enumerate(sides):
        stride = equation.params["window_strides"][axis]
        before, after = equation.params["padding"][axis]
        starts = np.arange(-before, side + after - kernel[axis] + 1, stride)
        taps = starts[:, None] + np.arange(kernel[axis])
        everything *= taps.size
        pixels *= np.sum((taps >= 0) & (taps < side))
    return batch * channels * kernel[-1] * (everything - pixels)


def _programs(equation):
    for value in equation.params.values():
        if hasattr(value, "jaxpr"):
            yield value.jaxpr


def _variables(model, shape):
    return jax.eval_shape(model.init, jax.random.key(0), jnp.zeros(shape))
