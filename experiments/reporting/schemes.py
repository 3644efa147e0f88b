"""The schemes of results: their emphasis density functions, under names that tell them apart."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dm_jax import EDF, emphasis
from dm_jax.train import scheme_profile
from dm_jax.train.config import scheme_parameters
from experiments.reporting.text import moves
from experiments.results_file import Result

Loss = Mapping[str, Any]  # the group "loss" of a config, and its profile
_PROFILE = "its profile"  # no parameter can have this name


@dataclasses.dataclass(frozen=True)
class Scheme:
    """The emphasis of a loss; its normalisation does not matter.

    Attributes:
      identity: equal for losses with this scheme.
      edf: at the start of training; None if it is not installed, or its code has changed.
    """

    identity: str
    edf: EDF | None

    def is_of(self, loss: Loss) -> bool:
        """Whether a loss has this scheme."""
        return _identity(loss) == self.identity


def loss_of(run: Result) -> Loss:
    """The loss of a run, with the profile by which changed code is recognised."""
    return {**run.config.get("loss", {}), _PROFILE: run.scheme}


def by_name(losses: Sequence[Loss]) -> dict[str, Scheme]:
    """The distinct schemes of some losses; two modules' classes of one name have longer names."""
    distinct = {_identity(loss): loss for loss in losses}
    edfs = {identity: _edf(loss) for identity, loss in distinct.items()}
    short = {identity: _name(edfs[identity], loss) for identity, loss in distinct.items()}
    names = list(short.values())
    return {
        name if names.count(name) == 1 else f"{name} of {_path(distinct[identity])}": Scheme(
            identity, edfs[identity]
        )
        for identity, name in short.items()
    }


def _parameters(loss: Loss) -> dict[str, Any]:
    return {k: v for k, v in scheme_parameters(loss).items() if k != _PROFILE}


def _identity(loss: Loss) -> str:
    parameters = {
        name: float(value) if type(value) is int else value
        for name, value in _parameters(loss).items()
    }
    facts = [loss.get("name"), loss.get("schedule"), parameters, loss.get(_PROFILE, [])]
    return json.dumps(facts, sort_keys=True)


def _path(loss: Loss) -> str:
    given = [f"{name}={value}" for name, value in _parameters(loss).items()]
    return f"{loss['name']}({', '.join(given)})"


def _name(edf: EDF | None, loss: Loss) -> str:
    if edf is None:
        return "a scheme that is not installed as it was"
    return repr(edf).removesuffix("()") + moves(loss.get("schedule"))


def _edf(loss: Loss) -> EDF | None:
    try:
        edf = emphasis.create(loss["name"], **_parameters(loss))
        edf.density(0.5)
        now = scheme_profile.log_weights(edf)
    except Exception:  # custom code may raise anything, and a report is made of results
        return None
    return edf if scheme_profile.same(loss.get(_PROFILE, []), now) else None
