"""One step is the written gradient of what it is to minimise."""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax

from dm_jax import dm_softmax_cross_entropy
from dm_jax.train import build, step
from dm_jax.train import state as state_lib
from tests.train import tiny


class TwoHeads(nn.Module):
    """A linear classifier, and another whose logits are auxiliary."""

    axis_name: str | None = None

    @nn.compact
    def __call__(self, x, train=False, where=None):
        x = x.reshape(len(x), -1)
        self.sow("auxiliary", "logits", nn.Dense(10, name="side")(x))
        return nn.Dense(10, name="main")(x)


def stepped(built):
    """Features, labels, and parameters of `TwoHeads` before and after a step of rate one."""
    settings = dataclasses.replace(
        built.settings, model=TwoHeads(), optimizer=optax.sgd(1.0), augment=False
    )
    inputs, labels = built.dataset.train.inputs[:20], built.dataset.train.labels[:20]
    features = settings.preprocess(inputs)
    state = state_lib.create(settings.model, settings.optimizer, built.edf, seed=0, inputs=features)
    batch = {"inputs": inputs, "labels": labels, "true_labels": labels, "where": None}
    after, _ = jax.jit(step.make_train_step(settings))(state, batch)
    return features.reshape(20, -1), labels, state.params, after.params


def test_a_step_descends_the_loss_that_the_config_says():
    weights = (0.0, *range(1, 10))
    changes = {"loss__normalization": "none", "loss__saturation": 0.5}
    built = build.experiment(tiny.config(**changes, loss__class_weights=weights))
    features, labels, before, after = stepped(built)

    def mean_loss(main):
        logits = features @ main["kernel"] + main["bias"][None]
        own = {"normalization": None, "saturation": 0.5, "class_weights": np.array(weights)}
        return dm_softmax_cross_entropy(logits, labels, built.edf, **own).mean()

    moved = jax.tree.map(np.subtract, before["main"], after["main"])
    for leaf, expected in jax.grad(mean_loss)(before["main"]).items():
        np.testing.assert_allclose(moved[leaf], expected, rtol=1e-4, atol=1e-6)


def test_every_step_draws_its_own_dropout():
    built = build.experiment(tiny.config(model__dropout=0.5))
    rows = slice(0, 50)
    inputs, labels = built.dataset.train.inputs[rows], built.dataset.train.labels[rows]
    batch = {"inputs": inputs, "labels": labels, "true_labels": labels, "where": None}
    state, train_step = built.create_state(0), jax.jit(step.make_train_step(built.settings))
    losses = [
        float(train_step(state.replace(step=jnp.int32(number)), batch)[1].means()["loss"])
        for number in (0, 0, 1)
    ]
    assert losses[0] == losses[1]
    assert losses[0] != losses[2]


def test_auxiliary_heads_are_trained_by_three_tenths_of_their_losses():
    built = build.experiment(tiny.config())
    features, labels, before, after = stepped(built)

    def mean_loss(params, head):
        logits = features @ params[head]["kernel"] + params[head]["bias"][None]
        return dm_softmax_cross_entropy(logits, labels, built.edf).mean()

    for head, weight in (("main", 1.0), ("side", 0.3)):
        gradient = jax.grad(mean_loss)(before, head)[head]
        moved = jax.tree.map(np.subtract, before[head], after[head])
        for leaf, expected in gradient.items():
            np.testing.assert_allclose(moved[leaf], weight * expected, rtol=1e-4, atol=1e-6)
