"""From a config to what a run needs: labels, rows, schemes, and what makes no sense together."""

import re

import numpy as np
import pytest

import dm_jax
from dm_jax import data
from dm_jax.train import build
from tests.train import tiny


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def _build(digits, **changes):
    return build.experiment(tiny.config(**changes), digits)


def test_without_a_validation_part_every_row_trains(digits):
    built = _build(digits)
    assert built.validation_corruption is None
    np.testing.assert_array_equal(built.sampler.indices, np.arange(1438))
    np.testing.assert_array_equal(built.train_labels, built.corruption.labels)
    assert np.mean(built.train_labels != digits.train.labels) == pytest.approx(0.4, abs=0.01)
    assert set(built.evaluated) == {"test", "train"}


def test_a_batch_larger_than_the_data_is_warned_of(digits):
    message = r"batch_size 2000 is larger than the training set of 1438: .*last_batch='mask'"
    with pytest.warns(UserWarning, match=message):
        _build(digits, train__batch_size=2000)


@pytest.mark.parametrize("labels", ["clean", "noisy"])
def test_a_validation_part_is_apart_and_has_its_own_labels(digits, labels):
    built = _build(digits, data__validation=0.2, data__validation_labels=labels)
    trained, held_out = built.corruption.kept, built.validation_corruption.kept
    np.testing.assert_array_equal(np.sort(np.concatenate([trained, held_out])), np.arange(1438))
    np.testing.assert_array_equal(built.sampler.indices, trained)
    np.testing.assert_array_equal(built.evaluated["validation"][1], held_out)
    wrong = np.mean(built.train_labels[held_out] != digits.train.labels[held_out])
    assert wrong == (0 if labels == "clean" else pytest.approx(0.4, abs=0.05))


def test_a_seed_orders_the_batches_and_that_of_the_noise_chooses_labels_and_rows(digits):
    def drawn(**seeds):
        built = _build(digits, data__validation=0.2, **seeds)
        order, _ = built.sampler.batches(0, 3)
        _, held_out = built.evaluated["validation"]
        return order.tobytes(), built.train_labels.tobytes(), held_out.tobytes()

    plain, reordered, renoised = drawn(), drawn(seed=1), drawn(noise__seed=1)
    assert reordered[0] != plain[0]
    assert reordered[1:] == plain[1:]
    assert renoised[1] != plain[1]
    assert renoised[2] != plain[2]
    own = _build(digits, seed=1, noise__seed=1).sampler.batches(0, 3)[0]
    np.testing.assert_array_equal(_build(digits, seed=1).sampler.batches(0, 3)[0], own)


def test_durations_are_resolved_by_the_training_part(digits):
    changes = {"train__length": "2 epochs", "train__batch_size": 100}
    assert _build(digits, **changes).plan.total_steps == 29
    assert _build(digits, **changes, data__validation=0.5).plan.total_steps == 15
    assert _build(digits, **changes, data__last_batch="mask").plan.total_steps == 30


def test_the_learning_rate_of_a_step(digits):
    built = _build(
        digits,
        optimizer__learning_rate=0.5,
        schedule__name="steps",
        schedule__boundaries=("1 epochs",),
    )
    rates = [float(built.learning_rate(step)) for step in (0, 11, 12)]
    assert rates == pytest.approx([0.5, 0.5, 0.05])


def test_a_scheme_of_ones_own(digits):
    built = _build(digits, loss={"name": "tests.train.test_build:Steep", "rate": 3.0})
    assert type(built.edf).__name__ == "Steep"
    assert float(built.edf.rate) == 3.0


class Steep(dm_jax.EDF):
    """A user's scheme."""

    rate: float = 2.0

    def weight(self, p):
        """Falls with p."""
        return (1 - p) ** self.rate


def test_a_parameter_moves_from_its_default(digits):
    scheme = {"name": "tests.train.test_build:Steep"}
    moving = {"loss__schedule": {"rate": 4.0}, "loss__schedule_length": "10 steps"}
    (schedule,) = _build(digits, loss=scheme, **moving).settings.edf_schedules.values()
    assert [float(schedule(step)) for step in (0, 5, 10)] == [2.0, 3.0, 4.0]


def test_nothing_to_evaluate_or_to_train_on_is_said(digits, tmp_path):
    features = np.zeros((60, 2), np.float32)
    path = tmp_path / "few.npz"
    np.savez(path, x_train=features, y_train=np.arange(60) % 2, x_test=features[:0], y_test=[])
    few = data.load(f"npz:{path}")
    for share, trained, held_out in ((0.001, 60, 0), (0.999, 0, 60)):
        message = rf"validation {share} of .*few.npz leaves {trained} .* holds {held_out} out"
        with pytest.raises(ValueError, match=message):
            _build(few, data__validation=share)
    with pytest.raises(ValueError, match=r"few.npz has no test examples; set config.data.test=F"):
        _build(few)
    assert set(_build(few, data__test=False).evaluated) == {"train"}


def test_a_moving_parameter_is_in_force_at_its_step(digits):
    built = _build(digits, loss__schedule={"beta": 2.0}, loss__schedule_length="10 steps")
    state, _ = tiny.train(tiny.engine(built), end=20)
    assert float(state.edf.beta) == pytest.approx(2.0)
    assert float(state.edf.lam) == built.config.loss.parameters["lam"]
    step_by_step = tiny.engine(
        _build(
            digits,
            loss__schedule={"beta": 2.0},
            loss__schedule_length="10 steps",
            train__log_every="1 steps",
        )
    )
    state, _ = tiny.train(step_by_step, end=6)
    # The sixth step, which is number 5, had half of the way to 2 behind it.
    start = built.config.loss.parameters["beta"]
    assert float(state.edf.beta) == pytest.approx((start + 2.0) / 2)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"loss__schedule": {"bta": 1.0}, "loss__schedule_length": "5 steps"},
            "did you mean 'beta'",
        ),
        (
            {"loss__schedule_length": "5 steps"},
            "config.loss.schedule_length is '5 steps', but nothing is scheduled",
        ),
        (
            {"loss__schedule": {"beta": 1.0}},
            "config.loss.schedule_length must be at least one step, got '0 steps'",
        ),
        (
            {"loss__schedule": {"beta": 1.0}, "loss__schedule_length": "21 steps"},
            r"config\.loss\.schedule_length must be at most 20 steps to end .* training, got 21",
        ),
        (
            {"loss__schedule": {"beta": "step 1"}, "loss__schedule_length": "20 steps"},
            "config.loss.schedule_length must be at most 19 steps",
        ),
        (
            {"loss__schedule": {"lam": -1.0}, "loss__schedule_length": "5 steps"},
            r"lam must be finite and in \[0, inf\], got -1.0",
        ),
        (
            {"loss__schedule": {"beta": "cosine two"}, "loss__schedule_length": "5 steps"},
            "must be like 2.0 or 'cosine 2.0', got 'cosine two'",
        ),
        (
            {"loss__schedule": {"beta": "cosin 2"}, "loss__schedule_length": "5 steps"},
            "did you mean 'cosine'",
        ),
        ({"loss__class_weights": (1.0, 2.0)}, "one weight for each of the 10 classes, got 2"),
        (
            {"loss__class_weights": (-1.0, *[1.0] * 9)},
            "class_weights must be finite and at least 0",
        ),
        ({"loss__nam": 1.0}, "nam"),
        ({"loss": {"name": "Expnential"}}, "did you mean 'exponential'"),
        ({"loss": {"name": "./my.py:Bump"}}, "'package.module:name', got './my.py:Bump'"),
        ({"loss": {"name": ":Bump"}}, "expected an import path 'package.module:name', got ':Bump'"),
        ({"model__name": "resnet4"}, "did you mean 'resnet44'"),
        ({"model__hiden": (3,)}, "did you mean 'hidden'"),
        ({"noise__kind": "symetric"}, "did you mean 'symmetric'"),
        ({"data__name": "digit"}, "did you mean 'digits'"),
        ({"train__length": "20 step"}, "config.train.length: a duration reads like '30000 steps'"),
        ({"train__log_every": "0 steps"}, "log_every must be at least one step, got '0 steps'"),
        ({"model__dtype": "float64"}, "jax_enable_x64"),
    ],
)
def test_what_cannot_be_built(changes, message):
    with pytest.raises(ValueError, match=message):
        build.experiment(tiny.config(**changes))


def test_an_experiment_is_printed_in_a_line():
    """Its fields would fill a screen, and nobody could read them."""
    experiment = build.experiment(tiny.config(noise__kind="symmetric", noise__rate=0.4))
    assert re.fullmatch(
        r"ArrayExperiment\(digits, Corruption\(symmetric, rate 0.4, seed \d+: "
        r"[\d.]+% of 1438 labels wrong\), DM\(.*\), mlp, \d+ steps\)",
        str(experiment),
    )
