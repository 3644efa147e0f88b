"""The commit of the code that runs."""

import functools
import pathlib
import subprocess


@functools.cache
def of_code() -> str:
    """The commit of the code, with "+" if the tree has changes; empty outside a checkout.

    Cached: commands call it before they train, so that commits made meanwhile are not recorded.
    """
    try:
        # Fails in an installed copy, even with a checkout of something else around it.
        _git("ls-files", "--error-unmatch", pathlib.Path(__file__).name)
        return _git("describe", "--always", "--dirty=+", "--abbrev=12", "--exclude=*")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    here = pathlib.Path(__file__).parent
    command = ["git", *arguments]
    said = subprocess.run(command, cwd=here, capture_output=True, text=True, check=True)
    return said.stdout.strip()
