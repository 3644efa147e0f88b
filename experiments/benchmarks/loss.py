"""Benchmarks value and gradient of the DM loss against cross entropy and the authors' form.

    python -m experiments.benchmark loss [--sizes=256x10,4096x100] [--seconds=4]

The contenders of one size take turns, in a different order each round. A cell is the median over
rounds; "ratio" is the median over rounds of our time over optax's, and the last line its geometric
mean. PyTorch is measured if it is installed.
"""

import argparse
import importlib.util
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from dm_jax import DM, dm_softmax_cross_entropy
from experiments import benchmarks

SIZES = ((256, 10), (256, 100), (4096, 100), (4096, 1000), (512, 50257))
EDF = DM(lam=0.5, beta=8.0)


def main(argv: list[str]) -> None:
    """Measures and prints the table."""
    parser = argparse.ArgumentParser(prog="experiments.benchmark loss")
    parser.add_argument(
        "--sizes", type=batches_and_classes, default=SIZES, help="such as 256x10,4096x100"
    )
    parser.add_argument("--seconds", type=float, default=4.0, help="minimum, per size")
    flags = parser.parse_args(argv)
    print(benchmarks.heading(f"value_and_grad of the mean loss, float32, {EDF}", "optax", "torch"))
    rows = {
        size: benchmarks.in_turns(contenders(*size), rounds=5, seconds=flags.seconds)
        for size in flags.sizes
    }
    print(table(rows))


def contenders(batch: int, classes: int) -> dict[str, Callable[[], object]]:
    """The calls to time, by name, on the same random logits and labels."""
    random = np.random.default_rng(0)
    logits = random.normal(size=(batch, classes)).astype(np.float32)
    labels = random.integers(0, classes, batch)
    losses: dict[str, Callable] = {"optax": _optax, "dm_jax": _dm_jax, "authors' form": _authors}
    calls = {name: _jax_call(loss, logits, labels) for name, loss in losses.items()}
    if importlib.util.find_spec("torch"):
        calls["authors' form, PyTorch"] = _torch_call(logits, labels)
    return calls


def table(rows: dict[tuple[int, int], dict[str, list[float]]]) -> str:
    """The medians in microseconds, with the ratio of ours to optax, as Markdown."""
    names = list(next(iter(rows.values())))
    lines = [
        "| batch x classes | " + " | ".join(f"{name}, µs" for name in names) + " | ratio |",
        "|" + "---|" * (len(names) + 2),
    ]
    ratios = [np.median(np.divide(times["dm_jax"], times["optax"])) for times in rows.values()]
    for ((batch, classes), times), ratio in zip(rows.items(), ratios, strict=True):
        cells = " | ".join(f"{np.median(times[name]) * 1e6:.0f}" for name in names)
        lines.append(f"| {batch} x {classes} | {cells} | {ratio:.2f} |")
    mean = math.exp(np.mean(np.log(ratios)))
    return "\n".join([*lines, f"\nGeometric mean of the ratios: {mean:.2f}"])


def batches_and_classes(text: str) -> list[tuple[int, int]]:
    """Parses --sizes, pairs such as 256x10,4096x100."""
    pairs = [
        [benchmarks.positive(number) for number in pair.split("x")] for pair in text.split(",")
    ]
    if any(classes < 2 for _, classes in pairs):
        raise argparse.ArgumentTypeError(f"needs 2 classes or more, got {text!r}")
    return [(batch, classes) for batch, classes in pairs]


def _optax(logits: Array, labels: Array) -> Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, labels).mean()


def _dm_jax(logits: Array, labels: Array) -> Array:
    return dm_softmax_cross_entropy(logits, labels, EDF).mean()


@jax.custom_vjp
def _authors(logits: Array, labels: Array) -> Array:
    return _optax(logits, labels)


def _authors_forward(logits: Array, labels: Array) -> tuple[Array, tuple[Array, Array]]:
    return _optax(logits, labels), (jax.nn.softmax(logits), labels)


def _authors_backward(residuals: tuple[Array, Array], g: Array) -> tuple[Array, None]:
    """As in their PyTorch code: exp(beta p**lam (1 - p)) over its sum and over 2 (1 - p) + 1e-8."""
    probabilities, labels = residuals
    p = jnp.take_along_axis(probabilities, labels[:, None], axis=-1)
    weight = jnp.exp(EDF.beta * (p + 1e-8) ** EDF.lam * (1 - p))
    scale = weight / weight.sum() / (2 * (1 - p) + 1e-8)
    return g * scale * (probabilities - jax.nn.one_hot(labels, probabilities.shape[-1])), None


_authors.defvjp(_authors_forward, _authors_backward)


def _jax_call(loss: Callable, logits: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    step = jax.jit(jax.value_and_grad(loss))
    arguments = jnp.asarray(logits), jnp.asarray(labels)
    return lambda: jax.block_until_ready(step(*arguments))


def _torch_call(logits: np.ndarray, labels: np.ndarray) -> Callable[[], object]:
    import torch

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    targets = torch.from_numpy(labels).to(device)
    inputs = torch.tensor(logits, device=device, requires_grad=True)
    lam, beta = float(EDF.lam), float(EDF.beta)

    def call() -> object:
        """The mean loss and the gradient of the authors' PyTorch code, waited for."""
        inputs.grad = None
        losses = torch.nn.functional.cross_entropy(inputs, targets, reduction="none")
        probabilities = inputs.detach().softmax(-1)
        p = probabilities.gather(1, targets[:, None])
        weight = torch.exp(beta * (p + 1e-8) ** lam * (1 - p))
        direction = probabilities.scatter_add(1, targets[:, None], torch.full_like(p, -1))
        inputs.backward(weight / weight.sum() / (2 * (1 - p) + 1e-8) * direction)
        if device.type == "cuda":
            torch.cuda.synchronize()
        return losses.mean(), inputs.grad

    return call
