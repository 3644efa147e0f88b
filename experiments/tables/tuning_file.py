"""tuning.json: what searches on a validation split tried, and what they chose."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from dm_jax import files

FILE = "tuning.json"  # in the workdir, next to the results
Parameters = Mapping[str, float]


@dataclasses.dataclass(frozen=True)
class ParameterSearch:
    """A finished search for one row and column.

    Attributes:
      table, row, column: the cell.
      chosen: the parameters with the best validation accuracy.
      tried: (parameters, mean final validation accuracy in percent) of every candidate.
      seeds: the seeds averaged over.
      scale, changes: budget and protocol of the search, as in `result.Result`.
      data: fingerprint of its data set; "" in files older than the field.
      weight_profile: that of a custom scheme with the chosen parameters, as in
        `result.Result`.
    """

    table: str
    row: str
    column: str
    chosen: Parameters
    tried: Sequence[tuple[Parameters, float]]
    seeds: Sequence[int]
    scale: float = 1.0
    changes: str = ""
    data: str = ""
    weight_profile: Sequence[float] = dataclasses.field(default_factory=list)

    @property
    def ranked(self) -> list[tuple[Parameters, float]]:
        """All candidates, the best by validation first; ties in the order tried."""
        return sorted(self.tried, key=lambda candidate: -candidate[1])


def read(folder: str | os.PathLike[str]) -> dict[str, ParameterSearch]:
    """The searches stored in a folder, by a name with all that their outcome depends on.

    Raises:
      ValueError: the file is damaged or does not hold searches.
    """
    path = pathlib.Path(folder) / FILE
    if not path.exists():
        return {}
    known = files.read_json(path)
    try:
        return {name: _search(fields) for name, fields in known.items()}
    except (AttributeError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} does not hold searches of this version ({error}); remove it"
        ) from error


def add(folder: str | os.PathLike[str], name: str, search: ParameterSearch) -> None:
    """Adds a search to those stored in a folder; several processes may do so at once."""
    path = pathlib.Path(folder) / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with files.locked(path.with_name(FILE + ".lock")):
        known = {**read(folder), name: search}
        plain = {name: dataclasses.asdict(search) for name, search in known.items()}
        files.write_json(path, plain)


def _search(fields: dict[str, Any]) -> ParameterSearch:
    search = ParameterSearch(**fields)
    tried = [(dict(parameters), float(score)) for parameters, score in search.tried]
    if not tried:
        raise ValueError("a search without candidates")
    return dataclasses.replace(search, tried=tried)
