"""One line says what is wrong in a config file or in the user's own code, and where."""

import os
import pathlib
import subprocess
import sys
import warnings

import jax
import pytest

from experiments import startup

_ROOT = pathlib.Path(__file__).resolve().parents[2]
_PARSE = """
import sys
from absl import flags
from ml_collections import config_flags
from experiments import startup
config_flags.DEFINE_config_file("config", None, "The configuration.")
flags.mark_flag_as_required("config")
startup._parse(["train", "--config", "own.py:seed=1"])
"""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "def get_config(arguments=''):\n    pass\n",
            "--config must name a config file whose get_config returns the config",
        ),
        ("", "the config file has no function get_config"),
        (
            "def get_config():\n    return {}\n",
            "the config file's get_config takes no argument, but was given one; write "
            "get_config(arguments)",
        ),
        (
            "def get_config(arguments=''):\n    return int('six')\n",
            "invalid literal for int() with base 10: 'six' (own.py, line 2, in get_config)",
        ),
    ],
)
def test_what_is_wrong_with_a_config_file(tmp_path, text, message):
    (tmp_path / "own.py").write_text(text)
    said = subprocess.run(
        [sys.executable, "-c", _PARSE],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(_ROOT)},
        capture_output=True,
        text=True,
    )
    assert said.returncode == 1
    assert said.stderr.splitlines()[-1] == f"error: {message}"


def test_the_config_files_of_the_package_are_found_anywhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in (["--config=configs/own.py:seed=1"], ["--config", "configs/own.py:seed=1"]):
        (argument,) = map(startup._with_installed_config, startup._joined(given))
        assert argument == f"--config={_ROOT / 'configs/own.py'}:seed=1"


def test_a_link_that_leads_nowhere_is_no_folder_to_make(tmp_path):
    (tmp_path / "link").symlink_to(tmp_path / "not mounted")
    for path in ("link", "link/run"):
        with pytest.raises(ValueError, match="link is not a writable folder"):
            startup.folder("--workdir", str(tmp_path / path))


def test_a_config_file_of_that_name_here_comes_before_that_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "configs").mkdir()
    (tmp_path / "configs" / "digits.py").write_text("")
    for name in ("digits", "neither_here_nor_there"):
        given = f"--config=configs/{name}.py:seed=1"
        assert startup._with_installed_config(given) == given


def test_an_error_in_the_user_s_code_is_followed_by_its_place(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def scheme(p):\n    raise ValueError('negative')\n")
    scope = {}
    exec(compile(own.read_text(), own, "exec"), scope)
    with pytest.raises(SystemExit) as ended, startup.one_line_errors():
        scope["scheme"](0.5)
    assert str(ended.value).startswith(f"error: negative ({own}, line 2, in scheme)")


def test_the_place_is_that_of_the_innermost_own_line(tmp_path):
    own = tmp_path / "own.py"
    own.write_text(
        "def outer():\n    inner()\n\n\ndef inner():\n    raise ValueError('negative')\n"
    )
    scope = {}
    exec(compile(own.read_text(), own, "exec"), scope)
    assert _said(scope["outer"]) == f"error: negative ({own}, line 6, in inner)"


def _said(command):
    """The last words of a command that fails."""
    with pytest.raises(SystemExit) as ended, startup.one_line_errors():
        command()
    return str(ended.value)


def test_compiled_programs_are_kept_in_the_users_cache(tmp_path, monkeypatch):
    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)  # restored afterwards
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "set by the user")
    monkeypatch.setenv("XDG_CACHE_HOME", "~/caches")
    monkeypatch.setenv("HOME", str(tmp_path))
    try:
        startup.prepare()
        assert jax.config.jax_compilation_cache_dir == before["jax_compilation_cache_dir"]
        monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
        startup.prepare()
        kept = tmp_path / "caches" / "dm_jax" / "jax"
        assert jax.config.jax_compilation_cache_dir == str(kept)
    finally:
        for name, value in before.items():
            jax.config.update(name, value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    for name in ("file", "file/below"):
        with pytest.raises(ValueError, match=f"--out={name}: {tmp_path}/file is not a writable"):
            startup.folder("--out", name)
    with pytest.raises(ValueError, match="--out is empty; it must name a folder"):
        startup.folder("--out", "")
    assert startup.folder("--out", "new/below") == pathlib.Path("new/below")


def test_an_interrupted_command_and_one_that_divides_by_zero_say_so(monkeypatch):
    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)  # restored afterwards
    assert _said(interrupted) == "interrupted; files written so far are kept"
    assert _said(lambda: 1 / 0).startswith("error: division by zero")
    assert warnings.formatwarning("odd", UserWarning, "a.py", 3) == "warning: odd\n"
