"""What differs between two configs."""

from collections.abc import Collection
from typing import Any

# What may change when a run resumes: its devices, and where its data are.
RUNTIME_KEYS = ("config.parallel", "config.data.data_dir")


def differences(
    old: dict[str, Any],
    new: dict[str, Any],
    *,
    path: str = "config",
    ignored: Collection[str] = RUNTIME_KEYS,
) -> list[str]:
    """Lines "config.loss.beta: 8.0 -> 4.0" for all keys that differ.

    Args:
      old, new: nested dicts of plain values.
      path: of the dicts themselves, with which the lines begin; may be "".
      ignored: paths to leave out; by default those that do not change results.

    >>> differences({"seed": 0, "parallel": {"mode": "jit"}}, {"seed": 1, "parallel": {}})
    ['config.seed: 0 -> 1']
    """
    lines = []
    for key in sorted(old.keys() | new.keys()):
        before, after, where = old.get(key), new.get(key), f"{path}.{key}" if path else key
        if where in ignored:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            lines += differences(before, after, path=where, ignored=ignored)
        elif before != after:
            lines.append(f"{where}: {before!r} -> {after!r}")
    return lines
