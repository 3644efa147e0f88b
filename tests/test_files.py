"""A file is replaced whole or not at all, and a lock has one holder."""

import threading

import pytest

from dm_jax import files


def test_an_interrupted_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")

    def interrupted():
        with files.atomic_write(path) as file:
            file.write(b"new")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_until_it_is_complete_the_old_file_is_read(tmp_path):
    path = tmp_path / "a.txt"
    files.write_text(path, "old")
    with files.atomic_write(path) as file:
        file.write(b"new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def test_two_threads_may_write_the_same_file(tmp_path):
    path = tmp_path / "a.txt"
    with files.atomic_write(path) as file:
        file.write(b"first")
        other = threading.Thread(target=files.write_text, args=(path, "second"))
        other.start()
        other.join()
        assert path.read_text() == "second"
    assert path.read_text() == "first"
    assert list(tmp_path.iterdir()) == [path]


def test_text_is_utf_8(tmp_path):
    path = tmp_path / "a.json"
    files.write_text(path, '{"name": "λ → 1"}')
    assert path.read_bytes().decode("utf-8") == '{"name": "λ → 1"}'
    assert files.read_json(path) == {"name": "λ → 1"}


@pytest.mark.parametrize("text", ["[1]", "null", '{"a":', ""])
def test_what_is_no_json_object_is_named(tmp_path, text):
    path = tmp_path / "a.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"a\.json is damaged: "):
        files.read_json(path)


def test_a_lock_that_is_held_is_refused_or_waited_for(tmp_path):
    held = []

    def wait():
        with files.locked(tmp_path / "lock"):
            held.append("second")

    second = threading.Thread(target=wait)
    with files.locked(tmp_path / "lock"):
        with pytest.raises(BlockingIOError), files.locked(tmp_path / "lock", wait=False):
            held.append("refused")
        second.start()
        held.append("first")
    second.join()
    assert held == ["first", "second"]
    with files.locked(tmp_path / "lock", wait=False):
        pass
