"""Schemes by name and by import path."""

import numpy as np
import pytest

from dm_jax import CCE, DM, emphasis


def test_create_by_name():
    assert emphasis.create("DM", lam=0.5, beta=8) == DM(lam=0.5, beta=8.0)
    assert emphasis.create("tests.emphasis.test_emphasis:Ramp", power=2).weight(0.5) == 0.25
    assert emphasis.create("cce") == CCE()
    assert emphasis.names() == ("beta", "cce", "dm", "exponential", "gce", "mae", "mse", "normal")


@pytest.mark.parametrize(
    ("name", "given", "words"),
    [
        ("DMM", {}, "did you mean 'dm'"),
        ("no_such_module:Ramp", {}, "cannot be imported: No module named 'no_such_module'"),
        ("dm", {"lam": 0.5, "betta": 1.0}, "did you mean 'beta'"),
        ("dm", {"lam": 0.5}, "beta"),
        ("dm", {"name": 0.5}, "unknown parameter of dm 'name'"),
        ("dm", {"lam": -0.5, "beta": 1.0}, r"lam.*\[0, inf\].*-0.5"),
        ("dm", {"lam": 0.5, "beta": float("nan")}, "beta.*finite.*nan"),
        ("dm", {"lam": 0.5, "beta": float("inf")}, "beta.*finite.*inf"),
        ("dm", {"lam": 0.5, "beta": np.array([1.0, np.inf])}, "beta.*finite"),
        ("beta", {"alpha": -1.0, "eta": 1.0}, "alpha.*-1"),
        ("beta", {"alpha": 1.0, "eta": -1.0}, "eta.*-1"),
        ("normal", {"psi": 1.5, "beta": 1.0}, r"psi.*\[0, 1\].*1.5"),
        ("normal", {"psi": np.array([0.5, 1.5]), "beta": 1.0}, r"psi.*\[0, 1\]"),
        ("gce", {"q": 1.5}, r"q.*\[0, 1\].*1.5"),
        ("normal", {"psi": 0.5, "beta": np.array([1.0, -1.0])}, "beta"),
        ("tests.emphasis.test_emphasis:P", {}, "subclass of dm_jax.EDF, or an EDF"),
        ("tests.emphasis.test_emphasis:Rampe", {"power": 1.0}, "did you mean 'Ramp'"),
    ],
)
def test_bad_creation_is_named(name, given, words):
    with pytest.raises(ValueError, match=words):
        emphasis.create(name, **given)
