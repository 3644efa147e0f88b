"""A member of a population has the numbers of its own single run."""

import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dm_jax
from dm_jax import data, train
from dm_jax.train import build, parallel, population, stacked_edfs
from dm_jax.train.config import ParallelConfig
from tests.train import tiny

# Different schemes, labels, orders of batches, learning rates and weight decays.
_MEMBERS = [
    {"loss__beta": 2.0},
    {"seed": 1, "noise__rate": 0.2, "optimizer__learning_rate": 0.02},
    {"loss": {"name": "GCE", "q": 0.7}, "seed": 1, "noise__seed": 5},
    {"loss": {"name": "CCE"}, "optimizer__weight_decay": 1e-2},
]


@pytest.fixture(scope="module")
def digits():
    return data.load("digits")


def _members(digits, **common) -> list[build.ArrayExperiment]:
    common = {"model__dtype": "float64", "model__dropout": 0.2} | common
    common |= {"data__last_batch": "mask", "data__validation": 0.1}
    return [build.experiment(tiny.config(**(common | own)), digits) for own in _MEMBERS]


def _member(tree, index: int):
    return jax.tree.map(lambda leaf: leaf[index], tree)


@pytest.mark.parametrize(
    ("runs", "devices"),
    [(2, 8), *(pytest.param(n, n, marks=pytest.mark.long) for n in (1, 4))],
)
def test_a_member_equals_its_own_run(digits, runs, devices):
    """Over both axes of the mesh, on one device, and over the run axis."""
    with jax.enable_x64(True):
        mesh = parallel.make_mesh(ParallelConfig(devices=devices), runs=runs)
        engine, state = population.prepare(_members(digits), mesh=mesh)
        state, totals = tiny.train(engine, state)
        for i, member in enumerate(engine.experiments):
            own, own_totals = tiny.train(tiny.engine(member))
            assert tiny.distance(own.params, _member(state.params, i)) < 1e-9
            for name, mean in own_totals.means().items():
                assert totals.means()[name][i] == pytest.approx(mean, rel=1e-5)


@pytest.mark.long
def test_members_with_batch_statistics_and_moving_schemes(digits):
    schedule = {"loss__schedule": {"beta": 1.0}, "loss__schedule_length": "4 steps"}
    with jax.enable_x64(True):
        members = [
            tiny.experiment(model__dtype="float64", train__length="5 steps", **schedule, seed=seed)
            for seed in (0, 1)
        ]
        state, _ = tiny.train(*population.prepare(members))
        for i, member in enumerate(members):
            own, _ = tiny.train(tiny.engine(member))
            assert tiny.distance(own.params, _member(state.params, i)) < 1e-9
            assert tiny.distance(own.batch_stats, _member(state.batch_stats, i)) < 1e-9
        np.testing.assert_allclose(state.edf.beta, 1.0)


@pytest.mark.long
def test_summaries_are_those_of_single_runs_in_the_order_given(digits, tmp_path):
    with jax.enable_x64(True):
        members = _members(digits, train__log_every="10 steps")
        summaries = train_population(members)
        for i in (0, 2):
            single = train.run(members[i].config, tmp_path / str(i), progress=train.NoProgress())
            assert summaries[i].corruption == single.corruption
            assert summaries[i].total == single.total == 20
            assert [row.keys() for row in summaries[i].rows] == [row.keys() for row in single.rows]
            for name in ("train_loss", "learning_rate", "test_accuracy", "validation_loss"):
                expected = single.curve(name)
                assert [step for step, _ in summaries[i].curve(name)] == [s for s, _ in expected]
                values = [value for _, value in summaries[i].curve(name)]
                assert values == pytest.approx([value for _, value in expected], rel=1e-5)
            assert summaries[i].final("fit_accuracy") == pytest.approx(single.final("fit_accuracy"))


def train_population(members):
    return population.train_population(members, progress=train.NoProgress())


def test_members_do_not_talk(digits):
    """Over the run axis alone the compiled step has no collective at all."""
    members = _members(digits, model__dtype="float32")
    mesh = parallel.make_mesh(ParallelConfig(devices=4), runs=4)
    engine, state = population.prepare(members, mesh=mesh)
    assert tiny.collectives(engine.lower(state, engine.block(0, 20))) == []


def test_members_are_evaluated_on_the_rows_held_out_of_theirs(digits):
    """Three members that hold out the same rows, and one with others."""
    common = {"data__validation": 0.1, "train__evaluate_batch": 20}
    members = [
        build.experiment(tiny.config(**common, noise__seed=seed), digits) for seed in (0, 0, 0, 5)
    ]
    mesh = parallel.make_mesh(ParallelConfig(devices=1))
    engine, state = population.prepare(members, mesh=mesh)
    found = engine.evaluate_all(state, last=False)
    for i, member in enumerate(engine.experiments):
        rows = member.validation_corruption.kept
        inputs = member.settings.preprocess(digits.train.inputs[rows])
        logits = member.settings.model.apply({"params": _member(state.params, i)}, inputs)
        losses = -jax.nn.log_softmax(logits)[np.arange(len(rows)), member.train_labels[rows]]
        assert found["validation_loss"][i] == pytest.approx(float(losses.mean()), rel=1e-5)


def test_members_that_share_their_order_share_their_inputs(digits):
    seeds = (0, 1, 0, 1)
    members = [build.experiment(tiny.config(seed=seed), digits) for seed in seeds]
    engine, _ = population.prepare(members, mesh=parallel.make_mesh(ParallelConfig(devices=1)))
    assert engine.block(0, 20)["index"].shape == (20, 2, 128)


class _Watched(train.NoProgress):
    """Keeps what it is shown."""

    def __init__(self):
        self.shown, self.closed = [], False

    def show(self, step, values):
        """Keeps the values."""
        self.shown.append((step, values))

    def close(self):
        """Notes it."""
        self.closed = True


def test_one_member_that_diverges_leaves_the_others_alone(digits, monkeypatch):
    # Their seeds descend: the summaries are in the order given, not in that of the seeds.
    changes = ({"seed": 1}, {"seed": 0, "optimizer__learning_rate": 1e30})
    configs = [tiny.config(**own, train__log_every="1 steps") for own in changes]
    members = [build.experiment(config, digits) for config in configs]
    clock, watched = iter([10.0, 16.0]), _Watched()
    monkeypatch.setattr(population, "time", types.SimpleNamespace(monotonic=clock.__next__))
    good, bad = population.train_population(members, progress=watched)
    assert np.isfinite(good.final("test_loss"))
    assert np.isfinite(good.final("fit_loss"))
    assert np.isnan(bad.final("test_loss"))
    assert (good.seconds, bad.seconds) == (3.0, 3.0)  # each has its share of the six
    first = np.mean([summary.curve("train_loss")[0][1] for summary in (good, bad)])
    assert watched.shown[0] == (1, {"mean loss": pytest.approx(first)})
    assert watched.closed


def test_a_member_that_diverges_late_has_no_final_values(digits):
    """Its last finite values are of an earlier step."""
    config = tiny.config(
        schedule__name="steps",
        schedule__boundaries=("12 steps",),
        schedule__factor=1e30,
        train__log_every="5 steps",
    )
    (summary,) = train_population([build.experiment(config, digits)])
    assert summary.diverged_at > 12
    assert summary.curve("train_loss")
    assert np.isnan(summary.final("train_loss"))
    assert np.isnan(summary.final("test_accuracy"))


def test_a_population_keeps_to_the_configs_devices(digits):
    for devices, runs in [(1, 1), (3, 2), (0, 4)]:
        members = _members(digits, parallel__devices=devices, model__dtype="float32")[:4]
        engine, _ = population.prepare(members)
        assert engine.mesh.shape == {"run": runs, "data": 1}
    with pytest.raises(ValueError, match=r"config\.parallel\.devices is 99, but there are"):
        population.prepare(_members(digits, parallel__devices=99, model__dtype="float32"))
    with pytest.raises(ValueError, match="a population needs parallel mode 'jit', got 'pmap'"):
        population.prepare(_members(digits, parallel__mode="pmap", model__dtype="float32"))


def test_several_hosts_are_refused(digits, monkeypatch):
    member = build.experiment(tiny.config(), digits)
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    with pytest.raises(ValueError, match="this process is one of 2"):
        train_population([member])


def test_members_that_are_not_one_program(digits):
    members = [
        build.experiment(tiny.config(**changes), digits)
        for changes in ({}, {"loss__beta": 2.0}, {"loss__normalization": "none"})
    ]
    assert population.signature(members[0]) != population.signature(members[2])
    message = r"experiment 2 differs from experiment 0: .*loss\.normalization: 'batch' -> 'none'$"
    with pytest.raises(ValueError, match=message):
        train_population(members)
    with pytest.raises(TypeError, match=r"made by train\.experiment.*got Config"):
        train_population([tiny.config()])
    with pytest.raises(ValueError, match="experiments must not be empty"):
        train_population([])
    mesh = parallel.make_mesh(ParallelConfig(devices=2), runs=2)
    with pytest.raises(ValueError, match="run axis of 2 devices, which does not divide the 1 mem"):
        population.train_population(members[:1], mesh=mesh)


def test_signatures_tell_apart_what_compiles_differently(digits):
    plain = population.signature(build.experiment(tiny.config(), digits))
    for same in _MEMBERS:
        assert population.signature(build.experiment(tiny.config(**same), digits)) == plain
    for different in (
        {"loss__normalization": "none"},
        {"loss__saturation": 0.0},
        {"loss__class_weights": (2.0, *[1.0] * 9)},
        {"train__length": "40 steps"},
        {"optimizer__momentum": 0.5},
        {"data__last_batch": "mask"},
        {"data__validation": 0.2},
        {"schedule__name": "cosine"},
    ):
        assert population.signature(build.experiment(tiny.config(**different), digits)) != plain


def test_schemes_that_move_are_shared_only_by_their_own_kind(digits):
    """A schedule begins at the parameters of one scheme, and moves those of all members."""
    moving = {"loss__schedule": {"beta": 1.0}, "loss__schedule_length": "4 steps"}
    still, first, same, other = (
        population.signature(build.experiment(tiny.config(**changes), digits))
        for changes in ({}, moving, moving | {"seed": 1}, moving | {"loss__beta": 2.0})
    )
    assert first == same
    assert len({still, first, other}) == 3


class _Level(dm_jax.EDF):
    """A weight of one number, whatever the margins."""

    def log_shape(self, margin):
        return 0.5


def test_choice_is_the_chosen_scheme():
    """To the last digit: members divide by the same areas as single runs, closed forms included."""
    constant = dm_jax.from_weight(lambda p: 1.0)
    schemes = (
        dm_jax.DM(lam=0.5, beta=8.0),
        dm_jax.GCE(q=0.7),
        dm_jax.Beta(alpha=0.5, eta=0.1),
        constant,
        _Level(),
    )
    margin = jnp.linspace(-30, 30, 7)
    for index, scheme in enumerate(schemes):
        choice = stacked_edfs.SwitchEDF(schemes, np.array(index))
        np.testing.assert_array_equal(choice.log_weight(margin), scheme.log_weight(margin))
        np.testing.assert_array_equal(choice.log_area(), scheme.log_area())
        np.testing.assert_allclose(choice.weight(0.3), scheme.weight(0.3), rtol=1e-6)
