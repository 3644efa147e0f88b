"""Numbers in words at the edges of their units."""

import pytest

from experiments import text


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0, "0.0 s"),
        (59.9, "59.9 s"),
        (60, "1 min 0 s"),
        (119.6, "2 min 0 s"),
        (3599, "59 min 59 s"),
        (3600, "1 h 0 min"),
    ],
)
def test_durations_change_their_unit(seconds, words):
    assert text.duration(seconds) == words


def test_no_deviation_differs_from_one_of_zero():
    assert text.with_deviation(59.3, 0.0) == "59.3 ± 0.0"


def test_what_is_no_number_is_printed_as_it_is():
    assert text.parameters({"nesterov": True, "beta": 1e-5}) == "nesterov=True, beta=1e-05"
    assert text.moves(None) == ""


def test_counts_and_ranges():
    assert text.count(0, "run") == "0 runs"
    assert text.seeds_range([1, 2]) == "1 to 2 seeds"
