"""Keeps a workdir from mixing results of other data, or of changed schemes, under one name."""

import dataclasses
from collections.abc import Iterable, Mapping, Sequence

from dm_jax.train import build, weight_profile
from dm_jax.train.config import LossConfig, scheme_parameters
from experiments import text
from experiments.tables.cells import Cell
from experiments.tables.result import Result
from experiments.tables.tuning_file import ParameterSearch


def check(
    cells: Sequence[Cell], results: Iterable[Result], searches: Iterable[ParameterSearch]
) -> None:
    """Raises ValueError if earlier results or searches are of other data than cells would train on.

    Data are only loaded if there is something to compare them with. Data that cannot be loaded are
    not compared: the cells will fail with the reason.

    Args:
      cells: those whose data are at hand (`at_hand`), all of one table.
      results: of the workdir; those of the same table and data set are compared. A
        result without a fingerprint is an error if another seed of its cell is still to run.
      searches: whose parameters the cells take.
    """
    finished = {result.key: result for result in results if result.status == "ok"}
    growing = {cell.key[:3] for cell in cells if cell.key not in finished}
    earlier = {
        (result.config.get("data", {}).get("name"), result.data): f"the result of {_cell(result)}"
        for key, result in finished.items()
        if cells and result.table == cells[0].table and (result.data or key[:3] in growing)
    }
    names = {(cell.row, cell.column): cell.config.data.name for cell in cells}
    for search in searches:
        if search.data and (name := names.get((search.row, search.column))):
            earlier.setdefault((name, search.data), f"the search for {_cell(search)}")
    for name, data_dir in {(cell.config.data.name, cell.config.data.data_dir) for cell in cells}:
        before = {data: what for (known, data), what in earlier.items() if known == name}
        found = _fingerprint(name, data_dir) if before else None
        for data, what in before.items():
            if found and data != found:
                then = f"of fingerprint {text.fingerprint(data)}" if data else "not recorded"
                raise ValueError(
                    f"{name} has fingerprint {text.fingerprint(found)} now, but {what} is of data "
                    f"{then}; use another --workdir for other data"
                )


def check_schemes(
    cells: Sequence[Cell], results: Iterable[Result], searches: Iterable[ParameterSearch]
) -> None:
    """Raises ValueError if the code of a custom scheme has changed since a result or a search.

    Args:
      cells: of one table; results and searches of other rows and columns are not compared.
      results: of the workdir.
      searches: whose parameters the cells take.
    """
    losses = {(cell.table, cell.row, cell.column): cell.config.loss for cell in cells}
    uses = [
        (result, "result", scheme_parameters(result.config.get("loss", {})))
        for result in results
        if result.status == "ok"
    ] + [(search, "search", search.chosen) for search in searches]
    for source, what, parameters in uses:
        loss = losses.get((source.table, source.row, source.column))
        if loss is not None and not _is_unchanged(loss, parameters, source.weight_profile):
            raise ValueError(
                f"the code of {loss.name} has changed since the {what} for {_cell(source)}; use "
                "another --workdir for the new code"
            )


def _is_unchanged(
    loss: LossConfig, parameters: Mapping[str, float], before: Sequence[float]
) -> bool:
    """Whether the scheme's profile is as before; true if it is unknown or cannot be created."""
    changed = dataclasses.replace(loss, parameters={**loss.parameters, **parameters})
    try:
        return not before or weight_profile.same(before, weight_profile.profile(changed))
    except (TypeError, ValueError):  # the report and the runs say so
        return True


def at_hand(cells: Iterable[Cell], left: Iterable[Cell]) -> list[Cell]:
    """The cells whose data are loaded anyway, for what is left to run, or are an .npz file.

    Other data may take minutes to prepare, so that a finished table is reported without them.
    """
    loaded = {cell.config.data.name for cell in left}
    names = ((cell, cell.config.data.name) for cell in cells)
    return [cell for cell, name in names if name in loaded or name.startswith("npz:")]


def _fingerprint(name: str, data_dir: str) -> str | None:
    """The fingerprint of a data set; None if it cannot be loaded."""
    try:
        return build.load(name, data_dir).fingerprint
    except Exception:
        return None


def _cell(source: Result | ParameterSearch) -> str:
    return f"{source.row} at {source.column}"
