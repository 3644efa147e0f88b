"""What is measured of a batch, against NumPy; sums and counts that merge exactly."""

import functools
import operator

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dm_jax
from dm_jax import metrics
from dm_jax.metrics import Examples, Totals

_EDF = dm_jax.DM(lam=0.5, beta=8.0)


def _batch(count=64, classes=5, seed=0, masked=0):
    random = np.random.default_rng(seed)
    logits = random.normal(size=(count, classes)).astype(np.float32) * 3
    true = random.integers(0, classes, count).astype(np.int32)
    given = np.where(random.random(count) < 0.4, random.integers(0, classes, count), true)
    where = np.arange(count) < count - masked if masked else None
    return logits, {"labels": given.astype(np.int32), "true_labels": true, "where": where}


@functools.partial(jax.jit, static_argnames="axis_name")
def _measured(logits, batch, edf=_EDF, axis_name=None):
    losses = -jax.nn.log_softmax(logits)[jnp.arange(len(logits)), batch["labels"]]
    examples = Examples.of(losses, logits, batch, axis_name)
    return metrics.prediction_totals(examples).union(metrics.emphasis_totals(examples, edf))


def _expected(logits, batch, weight):
    """The definitions, in float64."""
    keep = np.ones(len(logits), bool) if batch["where"] is None else batch["where"]
    logits, given, true = (
        np.asarray(x)[keep] for x in (logits, batch["labels"], batch["true_labels"])
    )
    logits = logits.astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    p = p[np.arange(len(given)), given]
    w = weight(p)
    return {
        "loss": -np.log(p).mean(),
        "accuracy": np.mean(logits.argmax(-1) == true),
        "accuracy_given": np.mean(logits.argmax(-1) == given),
        "p_clean": p[given == true].mean(),
        "p_noisy": p[given != true].mean(),
        "emphasis_mean": w.mean(),
        "emphasis_variance": np.var(w / w.mean()),
        "effective_sample_size": w.sum() ** 2 / (len(w) * (w**2).sum()),
        "examples": len(w),
    }


@pytest.mark.parametrize("masked", [0, 10])
@pytest.mark.parametrize(
    ("edf", "weight"),
    [
        (_EDF, lambda p: np.exp(8 * p**0.5 * (1 - p))),
        (dm_jax.MAE(), lambda p: 2 * p * (1 - p)),
    ],
)
def test_against_the_definitions(masked, edf, weight):
    logits, batch = _batch(masked=masked)
    found = _measured(logits, batch, edf).means()
    expected = _expected(logits, batch, weight)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, rel=2e-5), name


def test_devices_measure_the_whole_batch():
    logits, batch = _batch(masked=10)
    whole = _measured(logits, batch).means()
    split = jax.tree.map(lambda x: x.reshape(8, -1, *x.shape[1:]), (logits, batch))
    measure = jax.pmap(lambda z, b: _measured(z, b, axis_name="data"), axis_name="data")
    for name, values in measure(*split).means().items():
        np.testing.assert_allclose(values, whole[name], rtol=1e-6)


def test_totals_of_unequal_parts_are_those_of_the_whole():
    """Sums and counts merge; means would not."""
    logits, batch = _batch(60)
    parts = [
        _measured(logits[s], jax.tree.map(operator.itemgetter(s), batch))
        for s in (slice(0, 10), slice(10, 60))
    ]
    whole, merged = _measured(logits, batch).means(), parts[0].add(parts[1]).means()
    for name in ("loss", "accuracy", "accuracy_given", "p_clean", "p_noisy", "emphasis_mean"):
        assert merged[name] == pytest.approx(whole[name], rel=1e-6)


def test_the_mean_of_large_emphases_does_not_overflow():
    """Weights near exp(80): the sum over all examples would leave float32."""
    edf = dm_jax.Exponential(beta=100.0)
    logits, batch = _batch()
    one = _measured(jnp.zeros_like(logits), batch, edf)
    many = jax.tree.map(lambda x: jnp.broadcast_to(x, (10_000, *x.shape)), one).sum_steps()
    p = 1 / logits.shape[1]
    assert many.means()["emphasis_mean"] == pytest.approx(np.exp(100 * (1 - p)), rel=1e-3)


def test_stacked_totals_add_up():
    parts = [_measured(*_batch(seed=seed)) for seed in range(3)]
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), *parts)
    merged = parts[0].add(parts[1]).add(parts[2])
    for name, value in stacked.sum_steps().means().items():
        assert value == pytest.approx(merged.means()[name], rel=1e-6)


def test_nothing_counted_is_nan_and_empty_totals_change_nothing():
    logits, batch = _batch()
    totals = _measured(logits, batch | {"labels": batch["true_labels"]})
    assert np.isnan(totals.means()["p_noisy"])
    merged = Totals.empty(totals).add(totals)
    for name, value in totals.means().items():
        np.testing.assert_equal(merged.means()[name], value)
    assert int(merged.first_nonfinite) == metrics.NEVER


@pytest.mark.parametrize("margin", [-1e4, -100.0, 100.0, 1e4])
@pytest.mark.parametrize("edf", [_EDF, dm_jax.CCE(), dm_jax.MAE(), dm_jax.GCE(q=0.7)])
def test_certain_and_hopeless_examples(margin, edf):
    """Alike examples weigh alike, wherever they are."""
    logits = jnp.full((8, 3), jnp.array([margin, 0.0, -2e4]))
    labels = jnp.zeros(8, jnp.int32)
    found = _measured(logits, {"labels": labels, "true_labels": labels, "where": None}, edf).means()
    assert np.isfinite([value for name, value in found.items() if name != "p_noisy"]).all()
    assert found["emphasis_variance"] == pytest.approx(0, abs=1e-6)
    assert found["effective_sample_size"] == pytest.approx(1)


def test_a_batch_without_emphasis_leaves_its_spread_to_the_others():
    """As one of a scheme that is zero from some p on, once all of it is fitted."""
    edf = dm_jax.from_weight(lambda p: jnp.maximum(0.5 - p, 0))
    logits, batch = _batch()
    certain = 50.0 * np.eye(5, dtype=np.float32)[batch["labels"]]
    without, usual = _measured(certain, batch, edf), _measured(logits, batch, edf)
    assert without.means()["emphasis_mean"] == 0
    merged = without.add(usual).means()
    for name in ("emphasis_variance", "effective_sample_size"):
        assert merged[name] == usual.means()[name]


def test_a_batch_of_padding_alone_leaves_the_emphasis_to_the_others():
    logits, batch = _batch()
    nothing = _measured(logits, batch | {"where": jnp.zeros(len(logits), bool)})
    usual = _measured(logits, batch)
    assert nothing.add(usual).means()["emphasis_mean"] == usual.means()["emphasis_mean"]
    assert nothing.add(usual).means()["examples"] == usual.means()["examples"] / 2


def test_an_empty_batch_counts_nothing():
    examples = Examples(*(jnp.zeros(0, kind) for kind in (float, int, int, int, bool)))
    means = metrics.emphasis_totals(examples, dm_jax.CCE()).means()
    assert means["examples"] == 0
    assert np.isnan(means["emphasis_mean"])


def test_padding_does_not_hide_small_emphases():
    """Its weight is exp(196) times theirs."""
    losses = np.array([0.01, 0.02, 50.0], np.float32)
    zeros = jnp.zeros(3, int)
    examples = Examples(losses, zeros, zeros, zeros, np.array([True, True, False]))
    means = metrics.emphasis_totals(examples, dm_jax.Exponential(beta=200.0)).means()
    w = np.exp(200 * (1 - np.exp(-losses[:2].astype(np.float64))))
    assert means["emphasis_mean"] == pytest.approx(w.mean(), rel=1e-4)
    assert means["effective_sample_size"] == pytest.approx(w.sum() ** 2 / (2 * (w**2).sum()), 1e-4)


def test_the_first_step_that_is_not_finite_is_named():
    good = _measured(*_batch()).flag_nonfinite(jnp.int32(3))
    assert int(good.first_nonfinite) == metrics.NEVER
    logits, batch = _batch()
    bad = _measured(logits * np.nan, batch)
    merged = good.add(bad.flag_nonfinite(jnp.int32(7))).add(bad.flag_nonfinite(jnp.int32(5)))
    assert int(merged.first_nonfinite) == 5


def test_unions_and_sums_of_steps_keep_the_first_step_that_is_not_finite():
    broken = Totals.of({"loss": (np.nan, 1)})
    late, early = (broken.flag_nonfinite(jnp.int32(step)) for step in (7, 5))
    other = Totals.of({"other": (1.0, 1)})
    for union in (other.union(early), early.union(other)):
        assert int(union.first_nonfinite) == 5
    stacked = jax.tree.map(lambda *leaves: jnp.stack(leaves), late, early)
    assert int(stacked.sum_steps().first_nonfinite) == 5


def test_nearly_equal_weights_have_no_negative_variance():
    """Rounding must not lift the effective sample size above the number of examples."""
    rng = np.random.default_rng(0)
    zeros = jnp.zeros(256, int)
    for _ in range(20):
        losses = jnp.asarray(rng.uniform(0.5, 0.5001, 256), jnp.float32)
        examples = metrics.Examples(losses, zeros, zeros, zeros, jnp.ones(256, bool))
        means = metrics.emphasis_totals(examples, dm_jax.DM(lam=0.5, beta=0.01)).means()
        assert means["emphasis_variance"] >= 0
        assert means["effective_sample_size"] <= 1
