"""ImageNet weights from torchvision-style files, from which Table 3 starts its ResNet-50."""

import pathlib
import zipfile
from collections.abc import Mapping
from os import PathLike
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import traverse_util

from dm_jax import errors
from dm_jax.models.resnet import STAGES

# Networks that have such files.
NETWORKS = tuple(f"resnet{depth}" for depth in STAGES)
# The torchvision name of each variable of a convolution and of batch normalisation.
_LEAVES = {
    "kernel": "weight",
    "scale": "weight",
    "bias": "bias",
    "mean": "running_mean",
    "var": "running_var",
}


def load(path: str | PathLike[str], variables: Mapping[str, Any]) -> dict[str, Any]:
    """The variables of a ResNet with weights loaded from a file.

    All but the classifier is loaded, as the classes differ.

    Args:
      path: a state dict with torchvision's names ("layer1.0.conv1.weight"), as .safetensors, or as
        .pth or .pt, which needs PyTorch and is read with `weights_only=True`.
      variables: "params" and "batch_stats" from `init` of "resnet18", "resnet34" or "resnet50".

    Returns:
      A new tree of the same structure, shapes and dtypes.

    Raises:
      ValueError: a tensor is missing, unexpected or has a shape other than the network's, the file
        is damaged or holds anything but tensors, or its extension is unknown.
      ImportError: the library that reads the file is not installed.
      FileNotFoundError: there is no such file.
    """
    try:
        return convert(read(path), variables)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def convert(tensors: Mapping[str, np.ndarray], variables: Mapping[str, Any]) -> dict[str, Any]:
    """`load` for tensors already read; convolution kernels are OIHW, as in PyTorch.

    The prefixes of PyTorch's wrappers, "module." and "_orig_mod.", are dropped.
    """
    tensors = {_without_wrappers(name): tensor for name, tensor in tensors.items()}
    own = traverse_util.flatten_dict(dict(variables))
    wanted = {path: torchvision_name(path) for path in own if "classifier" not in path}
    found = {name: _arranged(tensor) for name, tensor in tensors.items() if not _ignored(name)}
    _check({name: own[path].shape for path, name in wanted.items()}, found)
    _check_values({name: found[name] for name in wanted.values()})
    loaded = {path: jnp.asarray(found[name], own[path].dtype) for path, name in wanted.items()}
    return traverse_util.unflatten_dict({**own, **loaded})


def torchvision_name(path: tuple[str, ...]) -> str:
    """The torchvision name of a variable of our ResNets.

    >>> torchvision_name(("params", "layer1_0", "conv2", "norm", "scale"))
    'layer1.0.bn2.weight'
    >>> torchvision_name(("params", "layer1_0", "downsample", "conv", "kernel"))
    'layer1.0.downsample.0.weight'
    """
    if len(path) < 4:
        raise ValueError(f"the variables are not those of {', '.join(NETWORKS)}")
    *block, unit, kind, leaf = path[1:]
    if unit == "downsample":
        unit += ".0" if kind == "conv" else ".1"
    elif kind == "norm":
        unit = unit.replace("conv", "bn")
    return ".".join([*(name.replace("_", ".") for name in block), unit, _LEAVES[leaf]])


def read(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    """The tensors of a .safetensors, .pth or .pt file by name."""
    suffix = pathlib.Path(path).suffix.lower()
    if pathlib.Path(path).is_dir():
        raise ValueError("a folder, not a file of weights")
    if suffix not in _READERS:
        accepted = ", ".join(_READERS)
        raise ValueError(f"weights are read from {accepted}; got a file ending in {suffix!r}")
    try:
        return _READERS[suffix](path)
    except ImportError as error:
        raise ImportError(f"reading {path} needs the package {error.name!r}") from error
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"no file {path} with pretrained weights: see docs/models.md, or set "
            "config.model.pretrained to '' for random weights"
        ) from error


def _read_safetensors(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except (SafetensorError, AttributeError) as error:  # the latter: a dtype that NumPy lacks
        raise ValueError(f"damaged or not a .safetensors file: {error}") from error


def _check_members(path: str | PathLike[str]) -> None:
    """Raises ValueError if the checksum of a member of the zip file differs."""
    with zipfile.ZipFile(path) as archive:
        if member := archive.testzip():
            raise ValueError(f"damaged: the checksum of {member} differs")


def _read_torch(path: str | PathLike[str]) -> dict[str, np.ndarray]:
    import torch

    try:
        if zipfile.is_zipfile(path):
            _check_members(path)
        tensors = torch.load(path, map_location="cpu", weights_only=True)
    except (OSError, MemoryError, ValueError):
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise ValueError(
            "damaged, or holds objects other than tensors, which are not unpickled"
        ) from error
    if isinstance(tensors, dict) and isinstance(tensors.get("state_dict"), dict):
        tensors = tensors["state_dict"]  # as training scripts save it
    if not isinstance(tensors, dict) or not all(
        isinstance(name, str) and torch.is_tensor(tensor) for name, tensor in tensors.items()
    ):
        raise ValueError("not a state dict, which has tensors by name and nothing else")
    try:
        return {name: _as_numpy(tensor) for name, tensor in tensors.items()}
    except (TypeError, NotImplementedError, RuntimeError) as error:  # sparse or without data
        raise ValueError(f"a tensor cannot be read: {errors.first_line(error)}") from error


def _as_numpy(tensor: Any) -> np.ndarray:
    """A PyTorch tensor; floating ones as float32, which NumPy has, unlike bfloat16."""
    tensor = tensor.detach()
    return (tensor.float() if tensor.is_floating_point() else tensor).numpy()


def _without_wrappers(name: str) -> str:
    for prefix in ("_orig_mod.", "module.", "_orig_mod."):
        name = name.removeprefix(prefix)
    return name


_READERS = {".safetensors": _read_safetensors, ".pth": _read_torch, ".pt": _read_torch}


def _ignored(name: str) -> bool:
    """Whether a tensor of the file is not loaded: those of the classifier, and counters."""
    return name.startswith("fc.") or name.endswith(".num_batches_tracked")


def _arranged(tensor: np.ndarray) -> np.ndarray:
    """OIHW transposed to HWIO, or to the matrix IO for a 1x1 kernel."""
    if tensor.ndim != 4:
        return tensor
    kernel = tensor.transpose(2, 3, 1, 0)
    return kernel[0, 0] if kernel.shape[:2] == (1, 1) else kernel


def _check(wanted: Mapping[str, tuple[int, ...]], found: Mapping[str, np.ndarray]) -> None:
    """Raises a ValueError that lists missing, unexpected and misshaped tensors."""
    shapes = [
        f"{name} is {found[name].shape} instead of {shape}"
        for name, shape in wanted.items()
        if name in found and found[name].shape != shape
    ]
    problems = {
        "missing": [name for name in wanted if name not in found],
        "unexpected": [name for name in found if name not in wanted],
        "with a different shape (HWIO)": shapes,
    }
    if any(problems.values()):
        said = "; ".join(_summary(kind, names) for kind, names in problems.items() if names)
        raise ValueError(f"the weights belong to a different network. Tensors {said}")


def _check_values(tensors: Mapping[str, np.ndarray]) -> None:
    """Raises a ValueError that lists tensors with values that are no weights."""
    problems: dict[str, list[str]] = {"not floating": [], "not finite": [], "negative": []}
    for name, tensor in tensors.items():
        if not jnp.issubdtype(tensor.dtype, jnp.floating):
            problems["not floating"].append(name)
        elif not np.isfinite(tensor.astype(np.float32)).all():
            problems["not finite"].append(name)
        elif name.endswith(".running_var") and (tensor < 0).any():
            problems["negative"].append(name)
    if any(problems.values()):
        said = "; ".join(_summary(kind, names) for kind, names in problems.items() if names)
        raise ValueError(f"tensors that are no weights: {said}")


def _summary(kind: str, names: list[str], limit: int = 4) -> str:
    rest = f" and {len(names) - limit} more" if len(names) > limit else ""
    return f"{kind}: {', '.join(names[:limit])}{rest}"
