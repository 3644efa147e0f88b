"""The loss against the gradient as the paper writes it, in float64, and limiting cases."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dm_jax import (
    CCE,
    DM,
    EDF,
    GCE,
    MAE,
    MSE,
    Beta,
    Exponential,
    Normal,
    dm_softmax_cross_entropy,
    from_loss,
    from_weight,
)
from tests import written_formula

SCHEMES = [
    DM(lam=0.5, beta=8.0),
    DM(lam=0.0, beta=200.0),
    DM(lam=1.0, beta=200.0),
    Normal(psi=0.3, beta=20.0),
    Exponential(beta=-3.0),
    Beta(alpha=0.5, eta=0.5),
    Beta(alpha=3.0, eta=2.0),
    CCE(),
    MAE(),
    MSE(),
    GCE(q=0.7),
]


@functools.partial(jax.jit, static_argnums=(4, 5))
def gradient(logits, labels, edf, where, normalization, saturation):
    """Gradient of the mean loss over the unmasked examples."""
    count = labels.size if where is None else where.sum()

    def mean(logits):
        losses = dm_softmax_cross_entropy(
            logits, labels, edf, normalization=normalization, where=where, saturation=saturation
        )
        return losses.sum() / count

    return jax.grad(mean)(logits)


def written_gradient(logits, labels, edf, where, normalization, saturation):
    parameters = {field.name: getattr(edf, field.name) for field in dataclasses.fields(edf)}
    log_weight = written_formula.LOG_WEIGHTS[type(edf).__name__]
    return written_formula.gradient(
        logits,
        labels,
        lambda log_p, log_q: log_weight(log_p, log_q, **parameters),
        normalization=normalization,
        where=where,
        saturation=saturation,
        log_area=np.log(written_formula.area(edf, parameters)),
    )


def relative_l1(got, expected):
    """Error over the whole array, where float32 can hold it."""
    got = np.asarray(got, np.float64)
    seen = (np.abs(expected) > 1e-30) & (np.abs(expected) < 1e36)
    return np.abs(got - expected)[seen].sum() / max(np.abs(expected)[seen].sum(), 1e-300)


def examples(batch, classes, kind, seed=0):
    """float32 logits and labels: random ones of a spread, or the margins from end to end."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, batch)
    if kind == "margins":
        logits = random.normal(size=(batch, classes))
        logits[np.arange(batch), labels] = np.concatenate(
            [np.linspace(-1e4, 1e4, batch // 2), np.linspace(-40, 40, batch - batch // 2)]
        )
    else:
        logits = random.normal(size=(batch, classes)) * kind
    return logits.astype(np.float32), labels


@pytest.mark.parametrize("edf", SCHEMES, ids=repr)
@pytest.mark.parametrize(
    ("normalization", "saturation"), [("batch", 1e-6), ("batch", 0.0), ("density", 0.0)]
)
def test_gradient_is_the_written_one(edf, normalization, saturation):
    where = np.arange(96) % 5 != 0
    for kind in (1.0, 10.0, 1e4, "margins"):
        logits, labels = examples(96, 10, kind)
        arguments = logits, labels, edf, where, normalization, saturation
        assert relative_l1(gradient(*arguments), written_gradient(*arguments)) < 1e-5, kind


@pytest.mark.parametrize("edf", SCHEMES, ids=repr)
def test_what_accelerators_compute_is_the_written_one(edf, monkeypatch):
    monkeypatch.setattr(
        "dm_jax.margin.lax.platform_dependent", lambda *args, default, **_: default(*args)
    )
    logits, labels = examples(96, 10, 1.0)
    arguments = logits, labels, edf, None, "batch", 1e-6
    got = gradient.__wrapped__(*arguments)
    assert relative_l1(got, written_gradient(*arguments)) < 1e-5


def test_accelerators_never_wait_for_a_decision():
    """A branch that depends on the data would stop the host, in every step."""
    traced = gradient.trace(*examples(8, 10, 1.0), DM(lam=0.5, beta=8.0), None, "batch", 1e-6)
    text = {p: traced.lower(lowering_platforms=(p,)).as_text() for p in ("cpu", "cuda", "tpu")}
    any_is_far = "applies stablehlo.or"
    assert any_is_far in text["cpu"]
    assert any_is_far not in text["cuda"]
    assert any_is_far not in text["tpu"]


@pytest.mark.parametrize("edf", [e for e in SCHEMES if getattr(e, "beta", 0) < 100], ids=repr)
def test_raw_weights_are_the_written_ones(edf):
    for kind in (1.0, "margins"):
        logits, labels = examples(96, 10, kind)
        arguments = logits, labels, edf, None, None, 1e-6
        expected = written_gradient(*arguments)
        assert relative_l1(gradient(*arguments), expected) < 1e-5, kind


@pytest.mark.parametrize("classes", [2, 3, 1000, 50_257])
@pytest.mark.parametrize("kind", [1.0, "margins"])
def test_any_number_of_classes(classes, kind):
    logits, labels = examples(12, classes, kind)
    for edf in (DM(lam=0.5, beta=32.0), MAE()):
        for saturation in (1e-6, 0.0):
            arguments = logits, labels, edf, None, "batch", saturation
            assert relative_l1(gradient(*arguments), written_gradient(*arguments)) < 1e-5


@pytest.mark.parametrize("edf", [MAE(), MSE(), GCE(q=0.7), Beta(alpha=0.5, eta=3.3)], ids=repr)
@pytest.mark.parametrize("margin", [-1e4, -300.0, 300.0, 1e4])
def test_batches_that_are_far_away_as_a_whole(edf, margin):
    """All weights are below exp(-100): only ratios count, and float32 margins are coarse there."""
    logits, labels = examples(32, 10, 1.0)
    is_label = labels[:, None] == np.arange(10)
    for moved in (logits + margin * is_label, logits - margin * ~is_label):
        arguments = np.float32(moved), labels, edf, None, "batch", 0.0
        assert relative_l1(gradient(*arguments), written_gradient(*arguments)) < 1e-5


class Slow(EDF):
    """A scheme whose log weight is a line of the margin nowhere."""

    def log_weight(self, margin):
        return -jnp.log1p(margin**2)


def test_far_weights_of_a_scheme_that_bends_are_its_own():
    margins = np.array([-1e4, -300.0, 300.0, 1e4], np.float32)
    logits, labels = np.stack([margins, np.zeros(4, np.float32)], 1), np.zeros(4, int)
    got = gradient(logits, labels, Slow(), None, None, 0.0)
    np.testing.assert_allclose(-4 * got[:, 0], 0.5 / (1 + margins**2), rtol=1e-5)


@pytest.mark.parametrize(
    "user", [from_weight(lambda p: 4 * p * (1 - p) ** 2), from_loss(lambda p: (1 - p) ** 2)]
)
def test_a_users_function_is_as_exact(user):
    for kind in (1.0, 10.0, "margins"):
        logits, labels = examples(96, 10, kind)
        got = gradient(logits, labels, user, None, "batch", 1e-6)
        expected = written_gradient(logits, labels, MSE(), None, "batch", 1e-6)
        assert relative_l1(got, expected) < 1e-5


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**31),
    st.floats(0.01, 3000),
    st.floats(0, 4),
    st.floats(-20, 200),
    st.lists(st.booleans(), min_size=8, max_size=8),
)
def test_random_logits_masks_and_parameters(seed, spread, lam, beta, where):
    logits, labels = examples(8, 5, spread, seed)
    edf = DM(lam=lam, beta=beta)
    got = gradient(logits, labels, edf, np.array(where), "batch", 1e-6)
    if not any(where):
        np.testing.assert_array_equal(got, 0)
        return
    expected = written_gradient(logits, labels, edf, np.array(where), "batch", 1e-6)
    assert relative_l1(got, expected) < 2e-5


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16, jnp.float16])
@pytest.mark.parametrize("normalization", ["batch", "density", None])
def test_finite_for_all_finite_logits(dtype, normalization):
    largest = float(jnp.finfo(dtype).max)
    logits = jnp.array(
        [[largest, -largest, 0], [-largest, largest, 0], [0, 0, 0], [largest] * 3], dtype
    )
    labels = jnp.array([0, 0, 1, 2])
    for edf in (DM(lam=0.5, beta=200.0), DM(lam=0.0, beta=-200.0), Beta(alpha=0.1, eta=0.1)):
        got = gradient(logits, labels, edf, None, normalization, 0.0)
        assert got.dtype == dtype
        assert bool(jnp.isfinite(got).all()), (edf, got)


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_half_precision_is_computed_in_float32(dtype):
    logits, labels = examples(64, 10, 3.0)
    logits = jnp.asarray(logits, dtype)
    got = gradient(logits, labels, MAE(), None, "batch", 1e-6)
    exact = gradient(logits.astype(jnp.float32), labels, MAE(), None, "batch", 1e-6)
    np.testing.assert_array_equal(got, exact.astype(dtype))


def test_float64_logits_are_computed_in_float64():
    with jax.enable_x64(True):
        logits, labels = examples(64, 10, 3.0)
        arguments = logits.astype(np.float64), labels, DM(lam=0.5, beta=8.0), None, "batch", 1e-6
        got = gradient(*arguments)
        assert got.dtype == jnp.float64
        assert relative_l1(got, written_gradient(*arguments)) < 1e-13


def test_value_is_the_cross_entropy():
    for kind in (1.0, 30.0, "margins"):
        logits, labels = examples(64, 10, kind)
        expected = optax.softmax_cross_entropy_with_integer_labels(logits, labels)
        got = dm_softmax_cross_entropy(logits, labels, DM(lam=1.0, beta=4.0))
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-6)
        assert got.dtype == jnp.float32


def test_cce_without_saturation_is_cross_entropy():
    logits, labels = examples(64, 10, 3.0)
    got = gradient(logits, labels, CCE(), None, None, 0.0)
    expected = jax.grad(
        lambda z: optax.softmax_cross_entropy_with_integer_labels(z, labels).mean()
    )(logits)
    np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-8)


def test_beta_zero_weights_equally():
    logits, labels = examples(64, 10, 3.0)
    got = gradient(logits, labels, DM(lam=0.5, beta=0.0), None, "batch", 0.0)
    np.testing.assert_allclose(np.abs(got).sum(-1), 1 / 64, rtol=1e-5)


@pytest.mark.parametrize("shape", [(), (6,), (2, 3), (1, 2, 3)])
def test_any_leading_shape(shape):
    logits, labels = examples(6, 4, 1.0)
    logits = logits[: int(np.prod(shape))].reshape(*shape, 4)
    labels = labels[: int(np.prod(shape))].reshape(shape)
    edf = MAE()
    flat = gradient(logits.reshape(-1, 4), labels.reshape(-1), edf, None, "batch", 1e-6)
    got = gradient(logits, labels, edf, None, "batch", 1e-6)
    assert dm_softmax_cross_entropy(logits, labels, edf).shape == shape
    np.testing.assert_allclose(got, flat.reshape(got.shape), rtol=1e-6)


def test_the_cotangent_scales_each_example():
    logits, labels = examples(6, 4, 1.0)
    scale = jnp.arange(6.0)
    plain = jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, MAE()).sum())(logits)
    scaled = jax.grad(lambda z: scale @ dm_softmax_cross_entropy(z, labels, MAE()))(logits)
    np.testing.assert_allclose(scaled, scale[:, None] * plain, rtol=1e-6)


def test_masked_examples_do_not_count_whatever_they_hold():
    logits, labels = examples(8, 4, 1.0)
    where = np.arange(8) < 5
    spoiled, wrong = logits.copy(), labels.copy()
    spoiled[5:], wrong[5:] = np.nan, -1
    got = gradient(spoiled, wrong, MAE(), where, "batch", 1e-6)
    np.testing.assert_array_equal(got[5:], 0)
    expected = gradient(logits[:5], labels[:5], MAE(), None, "batch", 1e-6)
    np.testing.assert_allclose(got[:5], expected, rtol=1e-6)
    losses = dm_softmax_cross_entropy(spoiled, wrong, MAE(), where=where)
    np.testing.assert_array_equal(losses[5:], 0)


def test_nothing_to_weight_is_a_zero_gradient():
    logits, labels = examples(8, 4, 1.0)
    zeros = from_weight(lambda p: 0 * p)
    for normalization in ("batch", "density", None):
        got = gradient(logits, labels, zeros, None, normalization, 1e-6)
        np.testing.assert_array_equal(got, 0)
    masked = jax.grad(
        lambda z: dm_softmax_cross_entropy(z, labels, MAE(), where=np.zeros(8, bool)).sum()
    )(logits)
    np.testing.assert_array_equal(masked, 0)


def test_small_label_types_reach_all_classes():
    logits, _ = examples(4, 1000, 1.0)
    labels = np.array([0, 3, 200, 255], np.uint8)
    got = gradient(logits, labels, MAE(), None, "batch", 1e-6)
    expected = gradient(logits, labels.astype(np.int32), MAE(), None, "batch", 1e-6)
    np.testing.assert_array_equal(got, expected)
