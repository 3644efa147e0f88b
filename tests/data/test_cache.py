"""A cache is made once, never half-read, and says when it is damaged."""

import pathlib

import numpy as np
import pytest

from dm_jax.data import cache


def test_made_once_and_read_the_next_time(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"vectors": np.arange(6.0).reshape(2, 3)}

    path = tmp_path / "below" / "a.npz"
    for _ in range(2):
        arrays = cache.cached(path, ["vectors"], make)
        np.testing.assert_array_equal(arrays["vectors"], [[0, 1, 2], [3, 4, 5]])
    assert made == [1]


def test_an_interrupted_maker_leaves_nothing_to_read(tmp_path):
    def interrupted():
        raise KeyboardInterrupt

    path = tmp_path / "a.npz"
    with pytest.raises(KeyboardInterrupt):
        cache.cached(path, ["x"], interrupted)
    assert list(tmp_path.iterdir()) == []
    arrays = cache.cached(path, ["x"], lambda: {"x": np.ones(2)})
    np.testing.assert_array_equal(arrays["x"], [1, 1])


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty"])
def test_a_damaged_file_is_never_half_read(tmp_path, damage):
    path = tmp_path / "a.npz"
    cache.cached(path, ["x"], lambda: {"x": np.arange(1000)})
    whole = path.read_bytes()
    broken = {
        "truncated": whole[: len(whole) // 2],
        "flipped": whole[:200] + bytes([whole[200] ^ 1]) + whole[201:],
        "empty": b"",
    }[damage]
    path.write_bytes(broken)
    with pytest.raises(ValueError, match=r"a\.npz.*delete this cache"):
        cache.cached(path, ["x"], dict)


def test_of_two_makers_both_go_on_with_the_file(tmp_path):
    path = tmp_path / "a.npz"

    def slower():
        cache.cached(path, ["x"], lambda: {"x": np.array([1])})
        return {"x": np.array([2])}

    assert cache.cached(path, ["x"], slower)["x"] == [1]


def test_the_directory_is_an_environment_variable(monkeypatch, tmp_path):
    monkeypatch.setenv("DM_JAX_CACHE", str(tmp_path))
    assert cache.directory() == tmp_path
    monkeypatch.delenv("DM_JAX_CACHE")
    assert cache.directory() == pathlib.Path.home() / ".cache" / "dm_jax"
