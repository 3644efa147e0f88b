"""One wording for the errors that every room raises."""

import difflib
from collections.abc import Iterable

_MAX_LISTED = 40  # names


def unknown(what: str, name: str, known: Iterable[str]) -> ValueError:
    """The error for a name that is not known: names it, the nearest known one, and all of them.

    Where there are hundreds, only the nearest.

    >>> unknown("model", "resnet4", ["resnet44", "mlp"])
    ValueError("unknown model 'resnet4'; did you mean 'resnet44'? Known: mlp, resnet44")
    """
    known = sorted(known)
    in_any_case = {one.lower(): one for one in known}
    near = difflib.get_close_matches(str(name).lower(), in_any_case, n=1, cutoff=0.5)
    hint = f"; did you mean {in_any_case[near[0]]!r}?" if near else "."
    listed = "" if len(known) > _MAX_LISTED else f" Known: {', '.join(known) or 'none'}"
    return ValueError(f"unknown {what} {name!r}{hint}{listed}")
