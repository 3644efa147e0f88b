"""The loss against the gradient as the paper writes it, in float64; extremes; bad input."""

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


@pytest.mark.parametrize("edf", [MAE(), MSE(), GCE(q=0.7), Beta(alpha=0.5, eta=3.0)], ids=repr)
@pytest.mark.parametrize("margin", [-1e4, -300.0, 300.0, 1e4])
def test_batches_that_are_far_away_as_a_whole(edf, margin):
    """All weights are below exp(-100): only ratios count, and float32 margins are coarse there."""
    logits, labels = examples(32, 10, 1.0)
    logits[np.arange(32), labels] += np.float32(margin)
    arguments = logits, labels, edf, None, "batch", 0.0
    assert relative_l1(gradient(*arguments), written_gradient(*arguments)) < 1e-5


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


@pytest.mark.parametrize(("alpha", "eta"), [(0.0, 0.0), (0.0, 2.0), (2.0, 0.0)])
def test_a_scheme_without_an_integral_has_density_zero(alpha, eta):
    edf = Beta(alpha=alpha, eta=eta)
    logits = jnp.array([[2.0, 0.0, 1.0], [-1e4, 1e4, 0.0]])

    def total(logits):
        return dm_softmax_cross_entropy(
            logits, np.array([0, 0]), edf, normalization="density"
        ).sum()

    np.testing.assert_array_equal(edf.density(np.array([0.25, 0.5])), 0.0)
    np.testing.assert_array_equal(jax.grad(total)(logits), 0.0)


@pytest.mark.parametrize("number", [np.float32, jnp.float32])
def test_a_saturation_may_be_a_scalar_of_numpy_or_jax(number):
    logits, labels = jnp.array([[2.0, 0.0]]), np.array([0])
    found = dm_softmax_cross_entropy(logits, labels, CCE(), saturation=number(1e-6))
    np.testing.assert_array_equal(found, dm_softmax_cross_entropy(logits, labels, CCE()))


def test_a_float16_gradient_uses_the_whole_range():
    logits, labels = np.array([[-1.0, 0.0], [1.0, 0.0]], np.float16), np.array([0, 1])

    def largest(scale):
        def total(logits):
            edf = DM(lam=0.0, beta=0.8)
            losses = dm_softmax_cross_entropy(logits, labels, edf, normalization=None)
            return scale * losses.sum()

        return float(jnp.abs(jax.grad(total)(jnp.asarray(logits))).max())

    assert largest(2.0**16) == pytest.approx(2 * largest(2.0**15), rel=1e-3)
    assert largest(2.0**20) == float(jnp.finfo(jnp.float16).max)


def test_an_infinite_weight_in_a_batch_is_not_a_zero_gradient():
    logits, labels = jnp.array([[-3.0, 0.0], [1.0, 0.0]]), jnp.zeros(2, int)
    infinite = from_weight(lambda p: jnp.exp(100 * (1 - p)))
    gradient = jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, infinite).mean())(logits)
    assert np.isnan(gradient[0]).all()


@pytest.mark.parametrize("normalization", [None, "batch", "density"])
def test_a_saturation_below_the_smallest_float_is_none(normalization):
    logits, labels = jnp.array([[300.0, 0.0, 0.0], [2.0, 1.0, 0.0]]), jnp.zeros(2, int)

    def gradient(saturation):
        return jax.grad(
            lambda z: dm_softmax_cross_entropy(
                z,
                labels,
                DM(lam=0.5, beta=8.0),
                normalization=normalization,
                saturation=saturation,
            ).mean()
        )(logits)

    np.testing.assert_array_equal(gradient(1e-40), gradient(0.0))


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


def test_masked_examples_leave_no_nan_in_derivatives_of_the_gradient():
    logits, labels = jnp.array([[1.0, 0.0], [0.0, 3.0], [jnp.nan, 0.0]]), jnp.array([0, 0, 0])
    where = jnp.array([True, True, False])

    def size(beta, logits):
        def total(logits):
            edf = DM(lam=0.5, beta=beta)
            return dm_softmax_cross_entropy(logits, labels, edf, where=where).sum()

        return (jax.grad(total)(logits) ** 2).sum()

    by_beta = jax.jit(jax.grad(size))
    expected = by_beta(8.0, logits.at[2].set(0.0))
    np.testing.assert_allclose(by_beta(8.0, logits), expected, rtol=1e-6)


def test_small_label_types_reach_all_classes():
    logits, _ = examples(4, 1000, 1.0)
    labels = np.array([0, 3, 200, 255], np.uint8)
    got = gradient(logits, labels, MAE(), None, "batch", 1e-6)
    expected = gradient(logits, labels.astype(np.int32), MAE(), None, "batch", 1e-6)
    np.testing.assert_array_equal(got, expected)


LOGITS = np.zeros((4, 3), np.float32)
LABELS = np.zeros(4, np.int32)


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"labels": np.zeros(5, np.int32)}, ValueError, r"labels.*\(4,\).*\(5,\)"),
        ({"labels": np.zeros(4, np.float32)}, TypeError, "labels.*integers.*float32"),
        ({"logits": np.zeros((4, 3), np.int32)}, TypeError, "logits.*floating.*int32"),
        ({"logits": np.zeros((4, 1), np.float32)}, ValueError, "C >= 2"),
        ({"logits": np.float32(1)}, ValueError, "logits"),
        ({"edf": "dm"}, TypeError, "edf.*'dm'"),
        ({"edf": MAE}, TypeError, r"an instance, such as MAE\(...\), got the class"),
        ({"labels": None}, TypeError, "labels must be an array, got NoneType"),
        ({"normalization": "batches"}, ValueError, "batches.*did you mean 'batch'"),
        ({"saturation": -1e-6}, ValueError, "saturation.*-1e-06"),
        ({"saturation": float("nan")}, ValueError, "saturation.*nan"),
        ({"where": np.ones(3, bool)}, ValueError, r"where.*\(4,\).*\(3,\)"),
        ({"where": np.ones(4, np.float32)}, TypeError, "where.*bool.*float32"),
        ({"class_weights": np.ones(4, np.float32)}, ValueError, r"class_weights.*\(3,\).*\(4,\)"),
        ({"class_weights": np.ones(3, np.int32)}, TypeError, "class_weights.*floating.*int32"),
        ({"class_weights": np.float32([1, -1, 1])}, ValueError, "at least 0, got -1.0 for class 1"),
    ],
)
def test_bad_input_is_named(changes, error, words):
    arguments = {"logits": LOGITS, "labels": LABELS, "edf": MAE()} | changes
    with pytest.raises(error, match=words):
        dm_softmax_cross_entropy(**arguments)


@pytest.mark.parametrize("normalization", ["batch", None])
@pytest.mark.parametrize(
    "edf", [CCE(), DM(0.5, 8.0), MAE(), DM(0.0, -0.33), Beta(1.0, 1.0)], ids=str
)
def test_classes_masked_by_minus_infinity(edf, normalization):
    """As optax has it: a masked class gets no gradient; the only class left has p = 1."""
    logits = jnp.array([[0.0, -jnp.inf, 1.0], [2.0, -jnp.inf, -jnp.inf], [-jnp.inf, 0.0, 0.0]])

    def loss(logits):
        return dm_softmax_cross_entropy(logits, jnp.zeros(3, int), edf, normalization=normalization)

    losses, gradient = jax.jit(lambda z: (loss(z), jax.grad(lambda z: loss(z).sum())(z)))(logits)
    np.testing.assert_allclose(losses[:2], [np.log1p(np.e), 0.0], rtol=1e-6)
    assert losses[2] == np.inf  # the label is masked
    np.testing.assert_allclose(gradient[0], gradient[0, 2] * np.array([-1.0, 0.0, 1.0]), rtol=1e-6)
    np.testing.assert_array_equal(gradient[1], 0)
    assert np.isfinite(gradient[2]).all()


def test_the_gradient_of_the_only_class_left_has_a_derivative():
    logits = jnp.array([[0.0, 1.0, 2.0], [2.0, -jnp.inf, -jnp.inf]])

    def loss(logits):
        return dm_softmax_cross_entropy(logits, jnp.zeros(2, int), DM(0.5, 8.0)).sum()

    assert np.isfinite(jax.jit(jax.jacrev(jax.grad(loss)))(logits)).all()


def test_logits_of_a_diverged_network_show():
    for logits in ([jnp.inf, 0.0], [0.0, jnp.inf], [jnp.nan, 0.0]):
        loss = dm_softmax_cross_entropy(jnp.array([logits]), jnp.array([0]), CCE())
        assert np.isnan(loss).all()


def test_one_example_that_is_not_a_number_spoils_the_common_normaliser():
    logits = jnp.array([[0.0, 1.0], [jnp.nan, 0.0], [2.0, 0.0]])
    labels = jnp.zeros(3, int)
    gradient = jax.grad(lambda z: dm_softmax_cross_entropy(z, labels, MAE()).mean())(logits)
    assert np.isnan(gradient).all()
