"""The test of MARS: features of all frames, averaged over each tracklet, and retrieval scores."""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

import jax
import numpy as np

from dm_jax import retrieval
from dm_jax.data.streamed_dataset import RetrievalTest
from dm_jax.train.state import State
from dm_jax.train.step import Batch, StepSettings

log = logging.getLogger(__name__)


def make_embed_step(settings: StepSettings, *, axis_name: str | None = None):
    """`embed_step(state, batch) -> {"features" [B, d], "index" [B], "where" [B]}`.

    The result is of the whole batch; with `axis_name` the input is one device's part.
    """
    model = settings.model.clone(axis_name=axis_name)

    def embed_step(state: State, batch: Batch) -> dict[str, Any]:
        variables = {"params": state.params, "batch_stats": state.batch_stats}
        inputs = settings.preprocess(batch["inputs"])
        _, features = model.apply(variables, inputs, train=False, features=True)
        found = {"features": features, "index": batch["index"], "where": batch["where"]}
        if axis_name is None:
            return found
        return jax.lax.all_gather(found, axis_name, tiled=True)

    return embed_step


def scores(batches: Iterable[Mapping[str, Any]], test: RetrievalTest) -> dict[str, float]:
    """{"mAP": ..., "CMC-1": ...} in [0, 1], from the embedded batches of all frames.

    Damaged frames that were skipped do not enter the mean of their tracklet, and tracklets of
    which no frame is left are left out, with a warning.

    Raises:
      ValueError: no query with a true match is left.
    """
    features, frames = [], []
    for batch in batches:
        found = jax.device_get(batch)
        features.append(found["features"][found["where"]])
        frames.append(found["index"][found["where"]])
    tracklets = test.tracklets
    left, ids = np.unique(tracklets.tracklet_of_frame[np.concatenate(frames)], return_inverse=True)
    if len(left) < len(tracklets):
        log.warning("%d tracklets have no intact frame", len(tracklets) - len(left))
    if not len(left):
        raise ValueError("no frame of the test is intact")
    means = retrieval.tracklet_features(np.concatenate(features), ids, len(left))
    person, camera = tracklets.person[left], tracklets.camera[left]
    queries = np.flatnonzero(np.isin(left, test.queries))
    found = retrieval.evaluate(
        means[queries], person[queries], camera[queries], means, person, camera
    )
    return {"mAP": found.mean_average_precision} | {
        f"CMC-{rank}": share for rank, share in found.cmc.items()
    }
