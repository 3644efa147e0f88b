"""Optimisers against their written formulas, step by step in NumPy."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax.train import optimizers
from dm_jax.train.config import OptimizerConfig

_FIRST = {"kernel": np.array([[1.0, -2.0], [0.5, 3.0]]), "bias": np.array([0.3, -0.1])}
_RATE = 0.05


def _gradients(step: int):
    random = np.random.default_rng(step)
    return {name: random.normal(size=value.shape) for name, value in _FIRST.items()}


def _train(config: OptimizerConfig, factor=lambda step: 1.0, steps: int = 5):
    """Parameters after some steps in float64."""
    with jax.enable_x64(True):
        params = jax.tree.map(jnp.asarray, _FIRST)
        optimizer = optimizers.create(config, factor)
        state = optimizer.init(params)
        for step in range(steps):
            updates, state = optimizer.update(_gradients(step), state, params)
            params = jax.tree.map(jnp.add, params, updates)
        return jax.device_get(params)


def _assert_follows(config: OptimizerConfig, update, steps: int = 5, factor=lambda step: 1.0):
    """`update(name, gradient, parameter, memory, step) -> (direction, memory)` is the formula."""
    expected, memory = dict(_FIRST), dict.fromkeys(_FIRST)
    for step in range(steps):
        for name, gradient in _gradients(step).items():
            direction, memory[name] = update(name, gradient, expected[name], memory[name], step)
            expected[name] = expected[name] - _RATE * factor(step) * direction
    for name, found in _train(config, factor, steps).items():
        np.testing.assert_allclose(found, expected[name], rtol=1e-12)


@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("decay", ["all", "kernels"])
def test_sgd_adds_l2_to_the_gradient_before_momentum(nesterov, decay):
    """As Caffe and PyTorch: v = m v + (g + wd p); p -= lr v, or lr (g + wd p + m v)."""
    config = OptimizerConfig(
        learning_rate=_RATE, momentum=0.9, nesterov=nesterov, weight_decay=0.1, decay=decay
    )

    def update(name, gradient, parameter, velocity, step):
        decayed = decay == "all" or name == "kernel"
        gradient = gradient + 0.1 * parameter * decayed
        velocity = gradient + 0.9 * (0 if velocity is None else velocity)
        return (gradient + 0.9 * velocity if nesterov else velocity), velocity

    _assert_follows(config, update)


def test_sgd_without_momentum():
    config = OptimizerConfig(learning_rate=_RATE, momentum=0.0, weight_decay=0.0)
    _assert_follows(config, lambda name, gradient, *_: (gradient, None))


@pytest.mark.parametrize("epsilon", [1e-8, 0.1, 1.0])
def test_adam_with_its_epsilon(epsilon):
    """Kingma and Ba, algorithm 1, with L2 in the gradient."""
    config = OptimizerConfig(name="adam", learning_rate=_RATE, epsilon=epsilon, weight_decay=0.1)

    def update(name, gradient, parameter, memory, step):
        gradient = gradient + 0.1 * parameter
        first, second = memory or (0, 0)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        unbiased = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        return unbiased[0] / (np.sqrt(unbiased[1]) + epsilon), (first, second)

    _assert_follows(config, update)


@pytest.mark.parametrize("delta", [0.1, 1.0])
def test_caffe_adds_delta_before_the_bias_correction(delta):
    """Kingma and Ba, the efficient form at the end of section 2; Caffe's adam_solver.cpp."""
    config = OptimizerConfig(
        name="caffe_adam", learning_rate=_RATE, epsilon=delta, weight_decay=0.1
    )

    def update(name, gradient, parameter, memory, step):
        gradient = gradient + 0.1 * parameter
        first, second = memory or (0, 0)
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient**2
        correction = np.sqrt(1 - 0.999 ** (step + 1)) / (1 - 0.9 ** (step + 1))
        return correction * first / (np.sqrt(second) + delta), (first, second)

    _assert_follows(config, update)


def test_the_schedule_scales_the_step_and_not_the_velocity():
    config = OptimizerConfig(learning_rate=_RATE, momentum=0.9, weight_decay=0.0)

    def update(name, gradient, parameter, velocity, step):
        velocity = gradient + 0.9 * (0 if velocity is None else velocity)
        return velocity, velocity

    _assert_follows(config, update, factor=lambda step: 1.0 / (step + 1.0))


def test_clipping_is_by_the_global_norm_and_before_the_decay():
    config = OptimizerConfig(learning_rate=_RATE, momentum=0.0, weight_decay=0.1, clip_norm=0.5)

    def update(name, gradient, parameter, memory, step):
        norm = np.sqrt(sum(np.sum(g**2) for g in _gradients(step).values()))
        return gradient * min(1, 0.5 / norm) + 0.1 * parameter, None

    _assert_follows(config, update)
