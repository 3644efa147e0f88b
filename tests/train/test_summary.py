"""Final and best values, curves, and what they are of a run that diverged or measured nothing."""

import math

from dm_jax import train


def _summary(*rows, step=30, total=30):
    return train.Summary(step, total, list(rows), "", "digits", [], 0.4, 1.0, "cpu")


def test_a_curve_has_all_finite_values_zero_too():
    summary = _summary(
        {"step": 10, "test_accuracy": 0.0},
        {"step": 15, "train_loss": 1.0},
        {"step": 20, "test_accuracy": math.nan},
        {"step": 30, "test_accuracy": 0.5},
    )
    assert summary.curve("test_accuracy") == [(10, 0.0), (30, 0.5)]


def test_the_best_is_the_highest_value_and_its_first_step():
    accuracies = {10: 0.3, 20: 0.7, 25: 0.7, 30: 0.5}
    summary = _summary(*({"step": s, "test_accuracy": value} for s, value in accuracies.items()))
    assert (summary.final(), summary.best(), summary.best_step()) == (0.5, 0.7, 20)


def test_it_prints_without_its_rows():
    assert repr(_summary({"step": 10, "train_loss": 1.0})).startswith(
        "Summary(step=30, total=30, corr"
    )


def test_what_was_never_measured_has_no_best():
    summary = _summary({"step": 10, "train_loss": 1.0})
    assert math.isnan(summary.final())
    assert math.isnan(summary.best())
    assert summary.best_step() == 0


def test_a_run_diverged_at_its_first_loss_that_is_not_finite():
    summary = _summary(
        {"step": 10, "train_loss": 0.0, "test_accuracy": 0.5},
        {"step": 20, "train_loss": math.inf},
        {"step": 30, "train_loss": math.nan, "test_accuracy": 0.1},
    )
    assert summary.diverged_at == 20
    assert math.isnan(summary.final())
    assert summary.best() == 0.5


def test_a_run_is_finished_at_its_last_step_alone():
    assert _summary(step=30).finished
    assert not _summary(step=29).finished
