"""Setup that all commands share, and their errors in one line instead of a traceback."""

import contextlib
import functools
import os
import pathlib
import re
import sys
import warnings
from collections.abc import Callable, Iterator

import jax
from absl import app, flags, logging

from experiments import own_code

# Raised while parsing flags if one of them, or the config file it names, is wrong.
_BAD_FLAGS = (AttributeError, ImportError, KeyError, OSError, TypeError, ValueError, flags.Error)
# Raised for problems with the data, the config or the machine; anything else is a bug of ours.
_EXPECTED = (ArithmeticError, ImportError, OSError, RuntimeError, TypeError, ValueError)


def prepare() -> None:
    """Turns on JAX's compilation cache, and hides the libraries' informational messages.

    The cache is in ~/.cache/dm_jax/jax unless JAX_COMPILATION_CACHE_DIR is set.
    """
    logging.set_verbosity(logging.WARNING)
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", "~/.cache")).expanduser()
        jax.config.update("jax_compilation_cache_dir", str(cache / "dm_jax" / "jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
    sys.unraisablehook = _print_unless_late


def _print_unless_late(error: "sys.UnraisableHookArgs") -> None:
    """Drops what tensorstore's threads report of a damaged checkpoint after its first error."""
    if str(error.exc_value) != "Event loop is closed":
        sys.__unraisablehook__(error)


def run(main: Callable[[], None]) -> None:
    """Runs a command with `app.run`; an expected error is one line and exit code 1."""
    app.run(functools.partial(_main, main), flags_parser=_parse)


def _main(main: Callable[[], None], argv: list[str]) -> None:
    if len(argv) > 1:
        extra = " ".join(argv[1:])
        sys.exit(f"error: unexpected {extra!r}: flags are --name=value; lists take no spaces")
    prepare()
    with one_line_errors():
        main()


@contextlib.contextmanager
def one_line_errors() -> Iterator[None]:
    """Makes expected errors within one line and exit code 1, and warnings one line."""
    warnings.formatwarning = _format_warning
    try:
        yield
    except _EXPECTED as error:
        # A config file that cannot be read is noticed at its first use.
        of_config = "loading config file" in str(error)
        message = _readable_message(error) if of_config else str(error)
        sys.exit(f"error: {message}{own_code.place(error)}")
    except KeyboardInterrupt:
        sys.exit("interrupted; files written so far are kept")


def _format_warning(message: Warning | str, *_: object, **__: object) -> str:
    """Formats a warning as errors are: the message without its location in the code."""
    return f"warning: {message}\n"


def folder(flag: str, value: str) -> pathlib.Path:
    """The folder that a flag names, which exists and is writable or can be created.

    Raises:
      ValueError: the flag is empty, or the folder is not writable.
    """
    if not value:
        raise ValueError(f"{flag} is empty; it must name a folder")
    found = pathlib.Path(value).expanduser()  # shells leave the ~ of --flag=~/folder
    parents = (found.absolute(), *found.absolute().parents)
    there = next(path for path in parents if os.path.lexists(path))  # a link may lead nowhere
    if not there.is_dir() or not os.access(there, os.W_OK):
        raise ValueError(f"{flag}={value}: {there} is not a writable folder")
    return found


def _parse(argv: list[str]) -> list[str]:
    try:
        return flags.FLAGS([_with_installed_config(argument) for argument in _joined(argv)])
    except _BAD_FLAGS as error:
        sys.exit(f"error: {_readable_message(error)}{own_code.place(error)}")


def _joined(argv: list[str]) -> list[str]:
    """The arguments with "--config", "FILE" as one."""
    text = "\0".join(argv)
    return re.sub("(^|\0)(--?config)\0", r"\1\2=", text).split("\0")


def _with_installed_config(argument: str) -> str:
    """--config=configs/NAME.py outside a checkout means the file of the installed package."""
    path = re.fullmatch(r"--?config=(configs/\w+\.py)(:.*)?", argument)
    if not path or os.path.exists(path[1]):
        return argument
    installed = pathlib.Path(__file__).parent.parent / path[1]
    return f"--config={installed}{path[2] or ''}" if installed.exists() else argument


# What ml_collections and absl say of a config file -> what that means.
_OF_CONFIG_FILES = {
    "flag --config=None": "--config must name a config file whose get_config returns the config",
    "has no attribute 'get_config'": "the config file has no function get_config",
    "get_config() takes 0 positional arguments": "the config file's get_config takes no argument, "
    "but was given one; write get_config(arguments)",
}


def _readable_message(error: BaseException) -> str:
    """The error's message; of those from ml_collections, the part that matters."""
    cause = error.args[0] if error.args else error
    if isinstance(cause, KeyError):  # wrapped in an AttributeError
        error = cause
    if isinstance(error, KeyError):
        message = f"unknown config key {error.args[0]}".replace("\n", ". ")
        if "Did you mean" in message:
            return message
        return (
            f"{message}; configs/common.py lists the keys, and arguments of the config file add "
            "others, such as loss.schedule.lam=2"
        )
    for sign, meaning in _OF_CONFIG_FILES.items():
        if sign in str(error) and not own_code.place(error):
            return meaning
    if missing := re.search(r"\[Errno 2\] No such file or directory: '(.*)'", str(error)):
        return f"there is no config file {missing[1]!r}"
    *_, last = str(error).strip().split("\n")
    return re.sub(r"^\w*Error: ", "", last) if "Traceback" in str(error) else str(error)
