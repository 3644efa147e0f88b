"""The margin of the largest value follows the function where it is smooth, and stays at kinks."""

import jax
import jax.numpy as jnp
import pytest

from dm_jax.emphasis import quadrature


@pytest.mark.parametrize(
    ("function", "slope"),
    [
        (lambda margin, peak: -((margin - 2 * peak) ** 2), 2),
        (lambda margin, peak: -5 * jnp.abs(margin - 2 * peak) - (margin - peak) ** 2, 0),
        (lambda margin, peak: -((margin - 0.6) ** 2) + peak, 0),
    ],
    ids=["smooth", "kink", "elsewhere"],
)
def test_the_largest_margin_and_its_derivative(function, slope):
    found, derivative = jax.jit(
        jax.value_and_grad(lambda peak: quadrature.argmax(lambda margin: function(margin, peak)))
    )(0.3)
    assert found == pytest.approx(0.6, abs=1e-4)
    assert derivative == pytest.approx(slope, abs=1e-3)
