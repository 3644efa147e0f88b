"""Every difference between two configs is named, but for what is ignored."""

from dm_jax.train.differences import differences


def test_keys_of_either_are_compared_by_their_paths():
    old, new = {"a": {"b": 1, "c": 2}, "gone": 3}, {"a": {"b": 1, "c": 4}, "new": 5}
    assert differences(old, new, path="") == ["a.c: 2 -> 4", "gone: 3 -> None", "new: None -> 5"]
    assert differences(old, new, path="x", ignored=["x.a.c", "x.gone"]) == ["x.new: None -> 5"]


def test_a_part_that_became_a_value_is_one_difference():
    assert differences({"a": {"b": 1}}, {"a": 2}, path="") == ["a: {'b': 1} -> 2"]
    assert differences({"a": None}, {"a": {"b": 1}}, path="") == ["a: None -> {'b': 1}"]
