"""Where calls end, what happens at the round numbers, and that nothing waits in between."""

import jax
import pytest

from dm_jax.train import build
from dm_jax.train.loop import fit
from dm_jax.train.plan import Plan
from tests.train import tiny


def _plan(log_every=10, evaluate_every=30, checkpoint_every=20, max_steps_per_call=1000) -> Plan:
    return Plan(95, log_every, evaluate_every, checkpoint_every, max_steps_per_call)


def test_a_call_ends_wherever_something_happens():
    assert _plan().steps_per_call == 10
    assert list(_plan().blocks(0))[-2:] == [(80, 90), (90, 95)]
    assert _plan(log_every=12, checkpoint_every=18).steps_per_call == 6
    assert _plan(log_every=12, checkpoint_every=18, max_steps_per_call=5).steps_per_call == 3
    assert Plan(95, log_every=7, evaluate_every=9, checkpoint_every=5).steps_per_call == 1


@pytest.mark.parametrize("start", [0, 4, 20, 93])
def test_a_resumed_run_takes_the_same_calls(start):
    """Also from a step within a call, as another device may have left it."""
    ends = [end for _, end in _plan().blocks(0)]
    assert [end for _, end in _plan().blocks(start)] == [end for end in ends if end > start]
    assert next(iter(_plan().blocks(start)))[0] == start


def test_nothing_is_left_of_a_finished_run():
    assert not list(_plan().blocks(95))


def test_intervals_are_at_least_one_step():
    with pytest.raises(ValueError, match="log_every must be at least one step, got 0"):
        _plan(log_every=0)


class _Witness:
    """Writes down what it is told."""

    def __init__(self, best=()):
        self.told = []
        self.losses = {}
        self.best = best

    def progress(self, step):
        self.told.append(("progress", step))

    def log(self, step, window):
        self.told.append(("log", step))
        with jax.transfer_guard("allow"):
            self.losses[step] = window.means()["loss"]

    def evaluate(self, step, state):
        self.told.append(("evaluate", step))
        return step in self.best

    def checkpoint(self, step, state, window):
        self.told.append(("checkpoint", step))

    def of(self, what):
        return [step for name, step in self.told if name == what]


def _fit(built, witness, *, guard="allow", **options):
    running = tiny.engine(built)
    state = running.place(built.create_state(0))
    window = running.place(running.empty_totals(state))
    with jax.transfer_guard(guard):
        return fit(running, state, witness, window=window, **options)


def _experiment(**changes):
    intervals = {"train__log_every": "4 steps", "train__evaluate_every": "8 steps"}
    return build.experiment(tiny.config(**intervals, train__checkpoint_every="12 steps", **changes))


@pytest.mark.parametrize("convolutions", [False, True])
def test_nothing_moves_between_host_and_device_unasked(convolutions):
    """Blocks are put on the device in so many words; nothing else moves until a line is written."""
    built = tiny.experiment(train__log_every="4 steps") if convolutions else _experiment()
    witness = _Witness()
    _fit(built, witness, guard="disallow")
    assert witness.of("log") == [4, 8, 12, 16, 20]


def test_everything_happens_at_its_multiples_and_at_the_end():
    witness = _Witness()
    _, step = _fit(_experiment(train__length="18 steps"), witness)
    assert step == 18
    assert witness.of("log") == [4, 8, 12, 16, 18]
    assert witness.of("evaluate") == [8, 16, 18]
    assert witness.of("checkpoint") == [12, 18]
    assert witness.of("progress")[-1] == 18


def test_the_best_is_saved_beyond_the_interval():
    witness = _Witness(best=(8,))
    _fit(_experiment(), witness)
    assert witness.of("checkpoint") == [8, 12, 20]


def test_a_stop_is_answered_with_a_checkpoint_after_the_call():
    witness = _Witness()
    _, step = _fit(_experiment(), witness, stop_requested=lambda step: step >= 8)
    assert step == 8
    assert witness.of("checkpoint") == [8]
    assert witness.of("log") == [4, 8]


def test_a_window_holds_what_was_measured_since_the_last_line():
    """Each of the means is that of its own four steps."""
    built, witness = _experiment(), _Witness()
    _fit(built, witness)
    running = tiny.engine(built)
    state, _ = tiny.train(running, end=4)
    _, totals = tiny.train(running, state, begin=4, end=8)
    assert witness.losses[8] == totals.means()["loss"]
