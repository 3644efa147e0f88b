"""How a cell ended: with the summary of its run, or the error it failed with."""

import pickle

from dm_jax import train
from experiments import own_code
from experiments.tables.cells import Cell

Outcome = tuple[Cell, train.Summary | Exception]


class StoppedError(Exception):
    """A stop was requested; finished results are kept, and the next start runs the rest."""


class CellError(RuntimeError):
    """A cell failed in another process; the message is the `error_text` of its error."""


def error_text(error: Exception) -> str:
    """The error's type, its message and where it was raised in the user's own code."""
    if isinstance(error, CellError):
        return str(error)
    return f"{type(error).__name__}: {error}{own_code.place(error)}"


def picklable(summary: train.Summary | Exception) -> train.Summary | Exception:
    """The summary; an error that would lose something by pickling is replaced by its text.

    Some cannot be pickled, and none keeps its traceback.
    """
    if not isinstance(summary, Exception):
        return summary
    described = CellError(error_text(summary))
    try:
        pickle.loads(pickle.dumps(summary))
    except Exception:
        return described
    return described if own_code.place(summary) else summary
