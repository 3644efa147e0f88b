"""Training steps are PyTorch's: network, statistics, loss, L2 and momentum, in float64."""

import jax
import numpy as np
import pytest

from dm_jax import CCE, models
from dm_jax.train import optimizers, step
from dm_jax.train import state as state_lib
from dm_jax.train.config import OptimizerConfig

torch = pytest.importorskip("torch", reason="PyTorch is not installed")

STEPS, BATCH, SIDE = 3, 32, 16
RATE, MOMENTUM, DECAY = 0.1, 0.9, 1e-3
MEAN, STD = np.array([0.5, 0.4, 0.3]), np.array([0.2, 0.3, 0.2])


def leaves(tree):
    """{"Block_0/ConvNorm_0/conv/kernel": array ...}"""
    return {
        "/".join(key.key for key in path): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def trained_here(images, labels):
    """Leaves of the parameters at first, of those after the steps, and of the statistics then."""
    settings = step.StepSettings(
        model=models.create("resnet20", num_classes=10, dtype=np.float64),
        optimizer=optimizers.create(
            OptimizerConfig(learning_rate=RATE, momentum=MOMENTUM, weight_decay=DECAY),
            lambda step: np.float64(1.0),
        ),
        mean=MEAN,
        std=STD,
        dtype=np.float64,
        normalization=None,
        saturation=0.0,
    )
    inputs = settings.preprocess(images[0])
    state = state_lib.create(settings.model, settings.optimizer, CCE(), seed=0, inputs=inputs)
    first = leaves(state.params)
    train_step = jax.jit(step.make_train_step(settings))
    for pixels, given in zip(images, labels, strict=True):
        batch = {"inputs": pixels, "labels": given, "true_labels": given, "where": None}
        state, _ = train_step(state, batch)
    return first, leaves(state.params), leaves(state.batch_stats)


def convolutions(model):
    """{name of ours: (convolution, normalisation)} of `torch_loop.resnet`."""
    blocks = [module for module in model if hasattr(module, "first_norm")]
    units = {"ConvNorm_0": (model[0], model[1])}
    for i, block in enumerate(blocks):
        units[f"Block_{i}/ConvNorm_0"] = (block.first, block.first_norm)
        units[f"Block_{i}/ConvNorm_1"] = (block.second, block.second_norm)
    return units


def trained_there(images, labels, first, dense):
    """PyTorch's network after the same steps from the same parameters."""
    from experiments import torch_loop

    model = torch_loop.resnet(20, 10).double()
    with torch.no_grad():
        for name, (convolution, _) in convolutions(model).items():
            kernel = first[f"{name}/conv/kernel"].transpose(3, 2, 0, 1)
            convolution.weight.copy_(torch.tensor(kernel))
        model[-1].weight.copy_(torch.tensor(first[f"{dense}/kernel"].T))
        model[-1].bias.zero_()
    optimizer = torch.optim.SGD(model.parameters(), RATE, MOMENTUM, weight_decay=DECAY)
    for pixels, given in zip(images, labels, strict=True):
        optimizer.zero_grad()
        scaled = torch.tensor((pixels / 255 - MEAN) / STD).permute(0, 3, 1, 2)
        torch.nn.functional.cross_entropy(model(scaled), torch.tensor(given)).backward()
        optimizer.step()
    return model


def same(found, expected, rtol=1e-6):
    np.testing.assert_allclose(found, expected.detach(), rtol=rtol, atol=1e-8)


@pytest.mark.long
def test_training_steps_are_pytorchs():
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (STEPS, BATCH, SIDE, SIDE, 3), np.uint8)
    labels = random.integers(0, 10, (STEPS, BATCH))
    with jax.enable_x64(True):
        first, ours, statistics = trained_here(images, labels)
    (dense,) = (name.removesuffix("/kernel") for name in first if name.endswith("dense/kernel"))
    theirs = trained_there(images, labels, first, dense)

    smallest = BATCH * (SIDE // 4) ** 2  # positions that the last stage's variances are over
    for name, (convolution, norm) in convolutions(theirs).items():
        same(ours[f"{name}/conv/kernel"].transpose(3, 2, 0, 1), convolution.weight)
        same(ours[f"{name}/norm/scale"], norm.weight)
        same(ours[f"{name}/norm/bias"], norm.bias)
        same(statistics[f"{name}/norm/mean"], norm.running_mean)
        # PyTorch's running variances are n / (n - 1) of ours.
        same(statistics[f"{name}/norm/var"], norm.running_var, rtol=1 / (smallest - 1))
    same(ours[f"{dense}/kernel"].T, theirs[-1].weight)
    same(ours[f"{dense}/bias"], theirs[-1].bias)
