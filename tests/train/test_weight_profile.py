"""Profiles of schemes: bounded, of one length, and compared value by value."""

import jax.numpy as jnp
import numpy as np
import pytest

import dm_jax
from dm_jax.train import weight_profile


class Level(dm_jax.EDF):
    """One log weight for all, or infinity above a probability of a half."""

    low: float
    high: float

    def log_weight(self, margin):
        return jnp.where(margin > 0, self.high * jnp.inf, self.low) if self.high else self.low


@pytest.mark.parametrize("level", [0.5, -3.0])
def test_one_weight_for_all_has_a_profile_of_it(level):
    assert weight_profile.log_weights(Level(level, 0.0)) == [level] * 24


def test_a_profile_begins_at_low_probabilities():
    found = weight_profile.log_weights(dm_jax.Beta(alpha=2.0, eta=1.0))
    expected = np.log((np.arange(24) + 0.37) / 24)
    np.testing.assert_allclose(found, expected, atol=0.005 + 1e-6)


def test_infinite_weights_are_a_thousand_and_the_others_seven_below():
    found = weight_profile.log_weights(Level(0.5, 1.0))
    assert found == [993.0] * 12 + [1000.0] * 12
    assert weight_profile.log_weights(Level(5000.0, 0.0)) == [1000.0] * 24


def test_profiles_of_other_lengths_are_others():
    assert not weight_profile.same([1.0], [1.0, 1.0])
