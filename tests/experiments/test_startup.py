"""One line says what is wrong in a config file or in the user's own code, and where."""

import os
import pathlib
import subprocess
import sys

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


def test_an_error_in_the_user_s_code_is_followed_by_its_place(tmp_path):
    own = tmp_path / "own.py"
    own.write_text("def scheme(p):\n    raise ValueError('negative')\n")
    scope = {}
    exec(compile(own.read_text(), own, "exec"), scope)
    with pytest.raises(SystemExit) as ended, startup.one_line_errors():
        scope["scheme"](0.5)
    assert str(ended.value).startswith(f"error: negative ({own}, line 2, in scheme)")
