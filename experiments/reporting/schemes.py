"""The schemes of results: their emphasis density functions, under names that tell them apart."""

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from dm_jax import EDF, emphasis
from dm_jax.train import weight_profile
from dm_jax.train.config import scheme_parameters
from experiments.tables.result import Result
from experiments.text import moves


@dataclasses.dataclass(frozen=True)
class Scheme:
    """The emphasis of a run; its normalisation does not matter.

    Attributes:
      identity: equal for runs with this scheme.
      edf: at the start of training; None if it is not installed, or its code has changed.
    """

    identity: str
    edf: EDF | None

    def is_of(self, run: Result) -> bool:
        """Whether a run has this scheme."""
        return _identity(run) == self.identity


def by_name(runs: Sequence[Result]) -> dict[str, Scheme]:
    """The distinct schemes of some runs; two modules' classes of one name have longer names."""
    distinct = {_identity(run): run for run in runs}
    edfs = {identity: _edf(run) for identity, run in distinct.items()}
    short = {identity: _name(edfs[identity], run) for identity, run in distinct.items()}
    names = list(short.values())
    return {
        name if names.count(name) == 1 else f"{name} of {_path(distinct[identity])}": Scheme(
            identity, edfs[identity]
        )
        for identity, name in short.items()
    }


def _loss(run: Result) -> Mapping[str, Any]:
    return run.config.get("loss", {})


def _identity(run: Result) -> str:
    loss = _loss(run)
    parameters = {
        name: float(value) if type(value) is int else value
        for name, value in scheme_parameters(loss).items()
    }
    facts = [loss.get("name"), loss.get("schedule"), parameters, run.weight_profile]
    return json.dumps(facts, sort_keys=True)


def _path(run: Result) -> str:
    given = [f"{name}={value}" for name, value in scheme_parameters(_loss(run)).items()]
    return f"{_loss(run)['name']}({', '.join(given)})"


def _name(edf: EDF | None, run: Result) -> str:
    if edf is None:
        return "a scheme that is not installed as it was"
    _, _, in_module = _loss(run)["name"].partition(":")
    # An EDF, unlike a class, goes by its name in the module: one of `from_weight` has no other.
    of_class = in_module in ("", type(edf).__name__)
    name = repr(edf) if of_class else _path(run).partition(":")[2]
    return name.removesuffix("()") + moves(_loss(run).get("schedule"))


def _edf(run: Result) -> EDF | None:
    try:
        edf = emphasis.create(_loss(run)["name"], **scheme_parameters(_loss(run)))
        edf.density(0.5)
        now = weight_profile.log_weights(edf)
    except Exception:  # custom code may raise anything, and a report is made of results
        return None
    return edf if weight_profile.same(run.weight_profile, now) else None
