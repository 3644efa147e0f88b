"""Loads a trained network from the workdir of its run, without the data."""

import dataclasses
import functools
import pathlib
from collections.abc import Callable
from typing import Any, Literal

import jax
import jax.numpy as jnp
import numpy as np

from dm_jax import errors, files, models
from dm_jax.data import augment
from dm_jax.data.dataset import as_features
from dm_jax.train import checkpoint_reader
from dm_jax.train.config import Config
from dm_jax.train.setup import create_model
from dm_jax.train.workdir import NETWORK_FILE

# The outputs of a network that returns features, too.
_LOGITS, _FEATURES = 0, 1


@dataclasses.dataclass(frozen=True, eq=False)
class TrainedModel:
    """A network with its weights.

    Attributes:
      config: the config of its run.
      step: the step of its weights.
      class_names: [num_classes] strings.
      model, variables: for `model.apply(variables, ...)` on the result of `preprocess`.
      shape, dtype: of an input before preprocessing, a uint8 image or float32 features.
      mean, std: [channels], of inputs scaled to [0, 1].
    """

    config: Config
    step: int
    class_names: tuple[str, ...]
    model: models.Network
    variables: dict[str, Any]
    shape: tuple[int, ...]
    dtype: np.dtype
    mean: np.ndarray
    std: np.ndarray

    def logits(self, inputs: Any, *, batch_size: int = 1000) -> np.ndarray:
        """The logits of inputs [n, *shape], float32 [n, num_classes] (float64 for float64 models).

        Args:
          inputs: not normalised, as in the data set; of `dtype`, or any numbers for features.
            Images [n, height, width] have one channel.
          batch_size: how many are computed at once.

        Raises:
          TypeError: a batch_size that is not an integer.
          ValueError: inputs of a different shape or dtype, features that are not finite, or a
            batch_size below 1.
        """
        return self._outputs(inputs, batch_size, _LOGITS)

    def predict(self, inputs: Any, *, batch_size: int = 1000) -> np.ndarray:
        """The class of the largest logit, int [n]; see `logits`."""
        return self.logits(inputs, batch_size=batch_size).argmax(-1)

    def features(self, inputs: Any, *, batch_size: int = 1000) -> np.ndarray:
        """The input of the network's last layer, [n, F]; see `logits`."""
        return self._outputs(inputs, batch_size, _FEATURES)

    def _outputs(self, inputs: Any, batch_size: int, which: int) -> np.ndarray:
        errors.check_integer("batch_size", batch_size, minimum=1)
        inputs = self._as_in_the_data(np.asarray(inputs))
        if inputs.shape[1:] != self.shape or inputs.dtype != self.dtype:
            shape = ", ".join(map(str, ("n", *self.shape)))
            raise ValueError(
                f"inputs must be {self.dtype} [{shape}], got {inputs.dtype} {list(inputs.shape)}"
            )
        one = jax.ShapeDtypeStruct((1, *self.shape), self.dtype)
        output = jax.eval_shape(self._compiled, self.variables, one)[which]
        outputs = [np.zeros((0, *output.shape[1:]), output.dtype)]
        for start in range(0, len(inputs), batch_size):
            part = inputs[start : start + batch_size]
            outputs.append(np.asarray(self._compiled(self.variables, part)[which]))
        return np.concatenate(outputs)

    def _as_in_the_data(self, inputs: np.ndarray) -> np.ndarray:
        """Numbers as float32 features, and images without channels as grey, as "npz:" does."""
        if self.dtype == np.float32 and inputs.dtype.kind in "iuf":
            inputs = as_features("inputs", inputs)
        grey = self.shape[-1:] == (1,) and inputs.shape[1:] == self.shape[:-1]
        return inputs[..., None] if grey and len(self.shape) == 3 else inputs

    def preprocess(self, inputs: jax.Array) -> jax.Array:
        """The network's input for inputs [n, *shape]."""
        return augment.normalize(inputs, self.mean, self.std, jnp.dtype(self.config.model.dtype))

    @functools.cached_property
    def _compiled(self) -> Callable[[Any, Any], tuple[jax.Array, jax.Array]]:
        return jax.jit(
            lambda variables, inputs: self.model.apply(
                variables, self.preprocess(inputs), train=False, features=True
            )
        )

    def __repr__(self) -> str:
        return f"TrainedModel({self.config.model.name}, step {self.step})"


def load(
    workdir: pathlib.Path | str, *, step: int | Literal["last", "best"] = "last"
) -> TrainedModel:
    """Loads the network of a run, which may still be training.

    Args:
      workdir: the run's folder.
      step: the step of a kept checkpoint, or "last", or "best" by validation accuracy (if the run
        held out a validation part).

    Raises:
      FileNotFoundError: it is not a workdir or has no such checkpoint; names the available ones.
      ValueError: the checkpoint or a JSON file of the workdir is damaged, or "best" without a
        checkpoint that has a score.
    """
    folder = pathlib.Path(workdir).expanduser()
    if not (folder / NETWORK_FILE).exists():
        raise FileNotFoundError(f"{folder} is not the workdir of a run: it has no {NETWORK_FILE}")
    known = files.read_json(folder / NETWORK_FILE)
    if missing := {"class_names", "shape", "dtype", "mean", "std"} - known.keys():
        raise ValueError(
            f"{folder / NETWORK_FILE} is damaged: it lacks {', '.join(sorted(missing))}"
        )
    if not (folder / "config.json").exists():
        raise FileNotFoundError(f"{folder} is not the workdir of a run: it has no config.json")
    config = Config.parse(files.read_json(folder / "config.json"))
    found, variables = checkpoint_reader.read_variables(folder / "checkpoints", step)
    return TrainedModel(
        config=config,
        step=found,
        class_names=tuple(known["class_names"]),
        model=create_model(config.model, len(known["class_names"])),
        variables=variables,
        shape=tuple(known["shape"]),
        dtype=np.dtype(known["dtype"]),
        mean=np.array(known["mean"], np.float32),
        std=np.array(known["std"], np.float32),
    )
