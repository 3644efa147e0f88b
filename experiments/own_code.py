"""Where the user's own code (a scheme, network, optimiser or config) raised an error."""

import pathlib
import sysconfig
import traceback

_ROOT = pathlib.Path(__file__).resolve().parents[1]
# Folders of our code and of Python's; what is neither there nor installed is the user's.
_NOT_OWN = [_ROOT / name for name in ("dm_jax", "experiments", "configs")] + [
    pathlib.Path(sysconfig.get_path("stdlib")).resolve()
]


def place(error: BaseException) -> str:
    """The innermost place in the user's own code that raised the error or its cause.

    Returns:
      " (file, line, function)", or "" if the user's code had no part in it.
    """
    raised: BaseException | None = error
    while raised:
        for frame in reversed(traceback.extract_tb(raised.__traceback__)):
            path = pathlib.Path(frame.filename)
            if path.is_file() and not _is_of_a_library(path):
                return f" ({path}, line {frame.lineno}, in {frame.name})"
        raised = raised.__cause__ or raised.__context__
    return ""


def _is_of_a_library(path: pathlib.Path) -> bool:
    """Whether the file is ours or a library's, wherever that is installed."""
    installed = {"site-packages", "dist-packages"} & set(path.parts)
    return bool(installed) or any(map(path.resolve().is_relative_to, _NOT_OWN))
