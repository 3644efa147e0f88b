"""The EDFs of a population's members as one EDF with an axis of members."""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from dm_jax.emphasis.edf import EDF


class SwitchEDF(EDF):
    """One of several EDFs, chosen by a traced index, so that members may differ in their scheme.

    Attributes:
      edfs: the candidates; all of them are computed.
      index: int array, the index of the chosen one.
    """

    edfs: Any
    index: Any

    def log_shape(self, margin):
        """log w of the chosen EDF, minus its `log_scale`."""
        shapes = (jnp.broadcast_to(edf.log_shape(margin), jnp.shape(margin)) for edf in self.edfs)
        return jnp.stack([*shapes])[self.index]

    @property
    def log_scale(self):
        """`log_scale` of the chosen EDF."""
        return jnp.stack([edf.log_scale for edf in self.edfs])[self.index]

    def log_area(self):
        """`log_area` of the chosen EDF, in closed form if it has one."""
        return jnp.stack([edf.log_area() for edf in self.edfs])[self.index]


def stack(edfs: Sequence[EDF]) -> EDF:
    """One EDF whose leaves have an axis of members; a `SwitchEDF` if the schemes differ."""
    first = {jax.tree.structure(edf): edf for edf in reversed(edfs)}
    if len(first) > 1:
        kinds = list(first)
        own = [kinds.index(jax.tree.structure(edf)) for edf in edfs]
        edfs = [
            SwitchEDF(
                tuple(edf if k == i else first[kinds[k]] for k in range(len(kinds))), np.array(i)
            )
            for i, edf in zip(own, edfs, strict=True)
        ]
    return jax.tree.map(lambda *leaves: jnp.stack([jnp.asarray(leaf) for leaf in leaves]), *edfs)
