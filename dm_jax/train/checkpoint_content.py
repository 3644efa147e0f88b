"""What a checkpoint holds: a tree as plain NumPy arrays, their description and their checksums."""

import json
import zlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


def _is_key(leaf: Any) -> bool:
    return jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def raw_keys(tree: Any) -> Any:
    """The tree with random keys as arrays of their bits."""
    return jax.tree.map(lambda leaf: jax.random.key_data(leaf) if _is_key(leaf) else leaf, tree)


def to_numpy(tree: Any) -> Any:
    """A copy on the host, as the device buffers are donated to the next step."""
    return jax.tree.map(np.array, jax.device_get(raw_keys(tree)))


def in_structure_of(like: Any, tree: Any) -> Any:
    """The leaves of `tree`, which is of dicts and lists, at the same paths of `like`."""
    leaves = {_names(path): leaf for path, leaf in jax.tree_util.tree_leaves_with_path(tree)}
    return jax.tree_util.tree_map_with_path(lambda path, _: leaves[_names(path)], like)


def _names(path: tuple[Any, ...]) -> tuple[str, ...]:
    return tuple(jax.tree_util.keystr((key,), simple=True) for key in path)


def wrap_keys(like: Any, tree: Any) -> Any:
    """The tree with random keys again where `like` has them."""
    return jax.tree.map(
        lambda leaf, array: (
            jax.random.wrap_key_data(jnp.asarray(array)) if _is_key(leaf) else array
        ),
        like,
        tree,
    )


def description(arrays: Any) -> dict[str, str]:
    """{path: "float32[8,3]"} of every leaf."""
    return {
        jax.tree_util.keystr(path): f"{leaf.dtype}{list(leaf.shape)}"
        for path, leaf in jax.tree_util.tree_leaves_with_path(arrays)
    }


def check_not_empty(tree: Any) -> None:
    """Raises ValueError if an array has no elements, which orbax does not save."""
    for path, leaf in jax.tree_util.tree_leaves_with_path(tree):
        if not leaf.size:
            raise ValueError(
                f"an array without elements cannot be saved in a checkpoint: "
                f"{jax.tree_util.keystr(path)} is {leaf.dtype}{list(leaf.shape)}"
            )


def sealed(meta: dict[str, Any]) -> dict[str, Any]:
    """`meta` with a checksum of its own."""
    return meta | {"seal": zlib.crc32(json.dumps(meta, sort_keys=True).encode())}


def unsealed(meta: dict[str, Any]) -> dict[str, Any]:
    """`meta` without its checksum; raises ValueError if that differs. Old ones have none."""
    content = {name: value for name, value in meta.items() if name != "seal"}
    if "seal" in meta and sealed(content) != meta:
        raise ValueError("the checksum of its metadata differs")
    return content


def checksums(tree: Any, prefix: str = "") -> dict[str, int]:
    """{path: CRC-32} of every leaf."""
    return {
        prefix + jax.tree_util.keystr(path): zlib.crc32(np.ascontiguousarray(leaf).tobytes())
        for path, leaf in jax.tree_util.tree_leaves_with_path(tree)
    }


def verify(tree: Any, recorded: dict[str, int], prefix: str = "") -> None:
    """Raises ValueError if the checksum of a leaf is not the recorded one."""
    for path, found in checksums(tree, prefix).items():
        if found != recorded.get(path):
            raise ValueError(f"the checksum of {path} is {found}, recorded {recorded.get(path)}")


def score(metrics: Any) -> float:
    """The score in a checkpoint's metrics; raises ValueError if it is not a number."""
    found = metrics.get("score")
    if not isinstance(found, float | int):
        raise ValueError(f"a score must be a number, got {found!r}")
    return found
