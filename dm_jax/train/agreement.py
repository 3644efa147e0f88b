"""That all hosts of a run are to train the same: each places what it has as if all had it."""

import json
from typing import Any

from dm_jax.train import parallel, weight_profile
from dm_jax.train.differences import differences
from dm_jax.train.setup import Experiment

# These may differ: they do not change what is trained.
_OWN_KEYS = (
    "config.data.data_dir",
    "config.parallel.coordinator",
    "config.parallel.process",
    "config.parallel.workers",
)


def check(experiment: Experiment) -> None:
    """Raises, on all hosts, unless all have this experiment; every host must call it.

    Raises:
      ValueError: this host has another config, other training labels, other data or another scheme
        than the first; names what differs.
      OSError: such a difference is on another host.
    """
    own = json.dumps(identity(experiment))
    first = parallel.broadcast_text(own)
    problem = None
    if first != own and (different := _differences(json.loads(first), json.loads(own))):
        problem = ValueError(
            "all hosts of a run must be started with the same, but this one differs from the "
            f"first (first -> this): {'; '.join(different)}"
        )
    parallel.raise_on_all_hosts(problem, "another host was not started with the same as the first")


def _differences(first: dict[str, Any], own: dict[str, Any]) -> list[str]:
    """What differs between two identities."""
    profiles = [one.pop("weights of the scheme") for one in (first, own)]
    different = differences(first, own, path="", ignored=_OWN_KEYS)
    if not different and not weight_profile.same(*profiles):
        return [f"the code of {own['config']['loss']['name']}"]
    return different


def identity(experiment: Experiment) -> dict[str, Any]:
    """What makes two runs the same."""
    return {
        "config": experiment.config.to_dict(),
        "hash of the training labels": experiment.corruption.hash,
        "fingerprint of the data": experiment.dataset.fingerprint,
        "weights of the scheme": weight_profile.profile(experiment.config.loss),
    }
