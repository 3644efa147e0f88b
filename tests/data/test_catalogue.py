"""Names: all known ones, the nearest to a wrong one, and what is streamed."""

import pytest

from dm_jax import data


def test_all_names_are_there():
    wanted = {"digits", "cifar10", "cifar100", "vehicles10", "cifar10_n", "cifar100_n", "imdb"}
    wanted |= {"clothing1m", "mars", "npz:PATH", "stream:NAME", "tfds:NAME"}
    assert set(data.names()) == wanted
    assert list(data.names()) == sorted(data.names())


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("cifar", "cifar10"),
        ("vehicle10", "vehicles10"),
        ("npz:", "npz:PATH"),
        ("nzp:a", None),
        ("stream:", "stream:NAME"),
    ],
)
def test_a_wrong_name_gives_the_nearest(wrong, nearest):
    with pytest.raises(ValueError, match=f"did you mean '{nearest}'" if nearest else "Known: "):
        data.load(wrong)


@pytest.mark.parametrize("name", ["clothing1m", "mars", "stream:imagenette"])
def test_large_sets_are_streamed(name):
    with pytest.raises(ValueError, match="'digits' is not streamed; load it with"):
        data.load_streamed("digits")
    with pytest.raises(ValueError, match=r"open it with dm_jax\.data\.load_streamed"):
        data.load(name)
