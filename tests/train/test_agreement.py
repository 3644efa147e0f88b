"""Hosts that were not started with the same do not train (test_hosts.py has real processes)."""

import json

import jax.numpy as jnp
import pytest

import dm_jax
from dm_jax.train import agreement, build, parallel
from tests.train import tiny


class Bump(dm_jax.EDF):
    """A scheme whose code changes."""

    def weight(self, p):
        return jnp.exp(-jnp.square(4 * (p - CENTRE)))


CENTRE = 0.3
OWN_SCHEME = {"name": f"{__name__}:Bump"}


@pytest.fixture
def check(monkeypatch):
    """check(first, own): what a host of `own` says if the first has `first`."""

    def check(first: str, own: build.ArrayExperiment) -> None:
        monkeypatch.setattr(parallel, "broadcast_text", lambda _: first)
        agreement.check(own)

    return check


def identity(**changes) -> str:
    return json.dumps(agreement.identity(build.experiment(tiny.config(**changes))))


def test_hosts_may_differ_in_what_is_their_own(check):
    own = tiny.config(parallel__process=1, parallel__coordinator="host:1", parallel__workers=2)
    check(
        identity(parallel__coordinator="10.0.0.1:1", data__data_dir="/data"), build.experiment(own)
    )


def test_a_host_with_another_config_is_refused(check):
    own = build.experiment(tiny.config(seed=1, parallel__mode="pmap"))
    with pytest.raises(ValueError, match=r"parallel.mode: 'jit' -> 'pmap'; config.seed: 0 -> 1$"):
        check(identity(), own)


def test_a_host_with_other_labels_or_data_is_refused(check):
    own = build.experiment(tiny.config())
    first = agreement.identity(own)
    for what in ("hash of the training labels", "fingerprint of the data"):
        with pytest.raises(ValueError, match=f"{what}: 'other' -> '"):
            check(json.dumps(first | {what: "other"}), own)


def test_a_host_whose_scheme_has_other_code_is_refused(check, monkeypatch):
    own = build.experiment(tiny.config(loss=OWN_SCHEME))
    first = identity(loss=OWN_SCHEME)
    check(first, own)
    monkeypatch.setattr(f"{__name__}.CENTRE", 0.6)
    with pytest.raises(ValueError, match=f"differs .* this\\): the code of {__name__}:Bump$"):
        check(first, own)
