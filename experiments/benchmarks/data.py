"""Benchmarks the data pipelines: streamed against plainly decoded JPEGs, augmentation in a step.

    python -m experiments.benchmark data [--images=100] [--rounds=7] [--batch=128]

JPEGs: the stream (read, decode, scale to 256 x 256, crop 224, batch; random crops and flips add
some 30 µs) and Pillow alone (read, decode into an array) take turns on the same files; rates are
per second of CPU time over all threads, that is, per core. Step: a gradient step of ResNet-20 on
prepared images and one that gathers, crops, flips and normalises them first, in turns.
"""

import argparse
import pathlib
import tempfile
import time
from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np
from PIL import Image

from dm_jax import models
from dm_jax.data import augment
from dm_jax.data.records import Record
from dm_jax.data.stream import Batching, eval_stream
from experiments import benchmarks

# Height and width: that of most copies of Clothing1M, ImageNet's usual one, and larger ones; the
# largest are decoded at half their size.
SIZES = ((256, 256), (375, 500), (480, 640), (600, 800))


def main(argv: list[str]) -> None:
    """Prints the rates of JPEGs and what augmentation adds to a step."""
    parser = argparse.ArgumentParser(prog="experiments.benchmark data", description=__doc__)
    count = benchmarks.positive
    parser.add_argument("--images", type=count, default=100, help="JPEGs of each size")
    parser.add_argument("--rounds", type=count, default=7, help="rounds; medians are reported")
    parser.add_argument("--batch", type=count, default=128, help="examples in the step")
    flags = parser.parse_args(argv)
    print(benchmarks.heading("decoding JPEGs, and augmentation in a step", "grain"))
    print("| JPEGs | plain Pillow, images/s/core | streamed, images/s/core | ratio |")
    print("|---|---|---|---|")
    for size in SIZES:
        plain, streamed = jpeg_rates(size, flags.images, flags.rounds)
        print(f"| {size[0]} x {size[1]} | {plain:.0f} | {streamed:.0f} | {streamed / plain:.2f} |")
    ready, whole = step_seconds("resnet20", flags.batch, flags.rounds)
    print(f"\nResNet-20, batch {flags.batch}:")
    print(f"step {ready * 1e3:.1f} ms, with gathering and augmentation {whole * 1e3:.1f} ms")
    print(f"({100 * (whole / ready - 1):+.1f}%)")


class Files:
    """Image files as the source of a stream."""

    def __init__(self, paths: Sequence[pathlib.Path]):
        self._paths = paths

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Record:
        return Record(self._paths[index].read_bytes(), 0, self._paths[index].name)


def jpeg_rates(size: tuple[int, int], images: int, rounds: int) -> tuple[float, float]:
    """Images per second of CPU time, plainly decoded and streamed."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write_photographs(pathlib.Path(folder), size, images)

        def plain():
            for path in paths:
                np.asarray(Image.open(path))

        def streamed():
            # An endless stream would read ahead while the other call is timed.
            for _ in eval_stream(Files(paths), Batching(batch_size=25)):
                pass

        calls = {"plain": plain, "streamed": streamed}
        times = benchmarks.in_turns(calls, rounds=rounds, clock=time.process_time)
    return images / np.median(times["plain"]), images / np.median(times["streamed"])


def write_photographs(folder: pathlib.Path, size: tuple[int, int], count: int):
    """Writes JPEGs with the smooth areas and grain of photographs; returns their paths."""
    rng = np.random.default_rng(0)
    paths = [folder / f"{number}.jpg" for number in range(count)]
    for path in paths:
        coarse = rng.integers(0, 256, (size[0] // 16, size[1] // 16, 3), np.uint8)
        smooth = Image.fromarray(coarse).resize(size[::-1], Image.Resampling.BICUBIC)
        grain = rng.integers(-8, 9, (*size, 3))
        pixels = np.clip(np.asarray(smooth) + grain, 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(path, quality=90)
    return paths


def step_seconds(network_name: str, batch_size: int, rounds: int) -> tuple[float, float]:
    """Seconds of a gradient step on prepared images, and with gathering and augmentation."""
    network = models.create(network_name, num_classes=10)
    variables = network.init(jax.random.key(0), jnp.zeros((1, 32, 32, 3)), train=False)
    rng = np.random.default_rng(0)
    images = jnp.asarray(rng.integers(0, 256, (50_000, 32, 32, 3), np.uint8))
    rows = jnp.asarray(rng.integers(0, 50_000, batch_size))
    labels = jnp.asarray(rng.integers(0, 10, batch_size))
    mean, std = np.full(3, 0.47, np.float32), np.full(3, 0.25, np.float32)

    def loss(params, inputs):
        logits, _ = network.apply(
            {**variables, "params": params}, inputs, train=True, mutable=["batch_stats"]
        )
        return -jnp.mean(jax.nn.log_softmax(logits)[jnp.arange(batch_size), labels])

    @jax.jit
    def ready(inputs):
        return jax.grad(loss)(variables["params"], inputs)

    @jax.jit
    def whole(images, rows, key):
        keys = augment.example_keys(key, 0, batch_size)
        inputs = augment.random_flip(augment.random_crop(images[rows], keys), keys)
        return jax.grad(loss)(variables["params"], augment.normalize(inputs, mean, std))

    inputs = augment.normalize(images[rows], mean, std)
    key = jax.random.key(1)
    calls = {
        "ready": lambda: jax.block_until_ready(ready(inputs)),
        "whole": lambda: jax.block_until_ready(whole(images, rows, key)),
    }
    times = benchmarks.in_turns(calls, rounds=rounds)
    return np.median(times["ready"]), np.median(times["whole"])
