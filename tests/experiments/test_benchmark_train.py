"""The table of the training benchmark, and that PyTorch trains with the same loss."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dm_jax import DM, dm_softmax_cross_entropy
from dm_jax.models import cost, create
from experiments.benchmarks import train


def test_the_table_has_medians_and_ratios_within_rounds():
    times = {"engine": [1.0, 1.1, 9.0], "bare step": [1.0, 1.0, 8.0]}
    engine, bare = train.table(times, 20, 256).splitlines()[-2:]
    assert engine.startswith("| engine | 1100.0 | 232.7 |")
    assert engine.endswith("| 1.100 |")
    assert bare.endswith("| 1.000 |")


@pytest.mark.long
def test_all_take_turns(capsys):
    train.main(["--batch=2", "--steps=1", "--rounds=1", "--depth=20"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("ResNet-20, batch 2, float32, 1 rounds of 1 steps, wall time; ")
    assert [line.split("|")[1].strip() for line in lines[4:6]] == ["engine", "bare step"]


def test_pytorch_has_the_same_network_and_gradient():
    torch = pytest.importorskip("torch")
    from experiments import torch_loop

    model = torch_loop.resnet(20, 10)
    ours = cost.parameters(create("resnet20", num_classes=10), (1, 32, 32, 3))
    assert sum(parameter.numel() for parameter in model.parameters()) == ours

    random = np.random.default_rng(0)
    logits, labels = random.normal(size=(16, 10)).astype(np.float32), random.integers(0, 10, 16)
    theirs = torch.tensor(logits, requires_grad=True)
    torch_loop.DMLoss.apply(theirs, torch.tensor(labels)).backward()
    edf = DM(lam=torch_loop.LAM, beta=torch_loop.BETA)
    expected = jax.grad(lambda z: dm_softmax_cross_entropy(z, jnp.asarray(labels), edf).mean())
    np.testing.assert_allclose(theirs.grad, expected(jnp.asarray(logits)), rtol=1e-4, atol=1e-7)
