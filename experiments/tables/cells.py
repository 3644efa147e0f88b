"""The cells of a table: their configs, and which of them are missing."""

import dataclasses
import pathlib
from collections.abc import Iterable, Mapping, Sequence

from dm_jax import train
from dm_jax.train import setup
from experiments.paper import Pair
from experiments.tables import results_file
from experiments.tables.result import hash_config
from experiments.tables.spec import TableSpec
from experiments.tables.tuning_file import Parameters

_LONGEST_NAME = 150  # characters; file systems allow 255 bytes


@dataclasses.dataclass(frozen=True)
class Cell:
    """One row, column and seed of a table, and the config it runs with."""

    table: str
    row: str
    column: str
    seed: int
    config: train.Config
    scale: float = 1.0
    changes: str = ""

    @property
    def key(self) -> tuple[str, str, str, int]:
        """The key of the cell's result."""
        return self.table, self.row, self.column, self.seed

    @property
    def name(self) -> str:
        """The cell in messages."""
        return f"{self.row}, {self.column}, seed {self.seed}"

    @property
    def folder_name(self) -> str:
        """The name of its workdir; with the hash, so that other settings start from scratch."""
        name = f"{self.table}-{self.row}-{self.column}-{self.seed}"
        plain = (c if c.isascii() and (c.isalnum() or c in "-_.=+") else "_" for c in name)
        return f"{''.join(plain)[:_LONGEST_NAME]}-{self.config_hash}"

    @property
    def trains_alone(self) -> bool:
        """Whether it trains by itself, as every network does but the built-in "mlp", and all pmap.

        vmap would turn convolutions into slow grouped ones.
        """
        return self.config.model.name != "mlp" or self.config.parallel.mode == "pmap"

    @property
    def recorded_config(self) -> dict:
        """The config as plain JSON values, without devices and file locations."""
        config = self.config.to_dict()
        del config["parallel"]
        config["data"]["data_dir"] = ""
        config["model"]["pretrained"] = pathlib.Path(config["model"]["pretrained"]).name
        return config

    @property
    def config_hash(self) -> str:
        """The hash of `recorded_config`."""
        return hash_config(self.recorded_config)


def of_table(
    spec: TableSpec,
    pairs: Iterable[Pair],
    parameters: Mapping[Pair, Parameters],
    *,
    seeds: Iterable[int],
) -> list[Cell]:
    """The cells of all pairs and seeds; searched ones have the chosen parameters."""
    cells = []
    for row, column in pairs:
        for seed in seeds:
            config = spec.cell_config(row, column, seed)
            if (row, column) in parameters:
                config = with_parameters(config, parameters[row, column])
            cells.append(Cell(spec.name, row, column, seed, config, spec.scale, spec.changes))
    return cells


def with_parameters(config: train.Config, parameters: Parameters) -> train.Config:
    """The config with these EDF parameters."""
    merged = {**config.loss.parameters, **parameters}
    return dataclasses.replace(config, loss=dataclasses.replace(config.loss, parameters=merged))


def missing(path: pathlib.Path, cells: Sequence[Cell]) -> list[Cell]:
    """The cells that the results file does not hold yet.

    Raises:
      ValueError: the file holds one of them with another config.
    """
    results = results_file.read_if_there(path)
    done = results_file.completed(results, {cell.key: cell.recorded_config for cell in cells})
    return [cell for cell in cells if cell.key not in done]


def check_parts(cells: Iterable[Cell]) -> None:
    """Raises ValueError if the network or the scheme of a cell cannot be created."""
    for cell in cells:
        try:
            setup.create_model(cell.config.model, num_classes=2)
            setup.create_edf(cell.config.loss)
        except (TypeError, ValueError) as error:
            raise ValueError(f"{cell.row} at {cell.column}: {error}") from error
