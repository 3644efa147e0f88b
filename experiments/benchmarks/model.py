"""Benchmarks the networks: parameters, multiply-adds, and time of a forward and backward pass.

    python -m experiments.benchmark model [--names=resnet44,resnet50] [--batch=32]
        [--dtype=bfloat16] [--seconds=4]

Multiply-adds are those of evaluating one example, as papers count them. The time is the median over
passes in training mode: logits, mean cross entropy, its gradient and the new batch statistics.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dm_jax import models
from dm_jax.errors import unknown
from dm_jax.models import cost
from experiments import benchmarks

# Input shapes and classes as published; networks not listed are for ImageNet.
_CIFAR = (32, 32, 3), 10
_INPUTS = {"mlp": ((100,), 2), "googlenet_32": _CIFAR, "resnet18_32": _CIFAR, "resnet34_32": _CIFAR}
_INPUTS |= {f"resnet{depth}": _CIFAR for depth in (20, 32, 44, 56, 110)}
_IMAGENET = (224, 224, 3), 1000


def main(argv: Sequence[str]) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog="experiments.benchmark model")
    parser.add_argument("--names", default=",".join(models.names()), help="comma-separated")
    parser.add_argument("--batch", type=benchmarks.positive, default=32)
    parser.add_argument("--dtype", default="float32", choices=("float32", "bfloat16"))
    parser.add_argument("--seconds", type=float, default=4.0, help="per network, after compiling")
    flags = parser.parse_args(argv)
    names = flags.names.split(",")
    for name in names:
        if name not in models.names():
            parser.error(str(unknown("model", name, models.names())))
    subject = f"Forward and backward, batch {flags.batch}, {flags.dtype}"
    print(benchmarks.heading(subject, "flax"))
    print("| network | input | parameters | multiply-adds | ms a pass | examples/s |")
    print("|---|---|---|---|---|---|")
    for name in names:
        print(row(name, flags.batch, flags.dtype, flags.seconds), flush=True)


def row(name: str, batch: int, dtype: str, seconds: float) -> str:
    """Measures a network; returns its line of the Markdown table."""
    example, num_classes = _INPUTS.get(name, _IMAGENET)
    model = models.create(name, num_classes=num_classes, dtype=dtype)
    call = training_pass(model, (batch, *example))
    elapsed = np.median(benchmarks.in_turns({name: call}, rounds=3, seconds=seconds)[name])
    cells = (
        name,
        "x".join(map(str, example)),
        f"{cost.parameters(model, (1, *example)):,}",
        f"{cost.multiply_adds(model, (1, *example)) / 1e6:,.4g}M",
        f"{elapsed * 1e3:.4g}",
        f"{batch / elapsed:.4g}",
    )
    return f"| {' | '.join(cells)} |"


def training_pass(model: nn.Module, shape: tuple[int, ...]) -> Callable[[], object]:
    """A call that computes loss, gradient and new statistics on random inputs, and waits."""
    inputs = jax.random.normal(jax.random.key(1), shape)
    variables = jax.jit(model.init)(jax.random.key(0), inputs)

    @jax.jit
    def step(variables: dict[str, Any], inputs: jax.Array) -> Any:
        """((loss, new statistics), gradient)."""

        def loss(params: Any) -> tuple[jax.Array, Any]:
            """The mean cross entropy, and the new statistics."""
            logits, updated = model.apply(
                {**variables, "params": params}, inputs, train=True, mutable=["batch_stats"]
            )
            labels = jnp.zeros(len(inputs), jnp.int32)
            return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean(), updated

        return jax.value_and_grad(loss, has_aux=True)(variables["params"])

    return lambda: jax.block_until_ready(step(variables, inputs))
