"""A scheme of a user's own works wherever a built-in one does."""

import dataclasses
import os
import re
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import dm_jax
from configs import digits
from dm_jax import data, train
from dm_jax.train import build, population, weight_profile, workdir
from experiments.progress import ProgressBar
from experiments.reporting import plots, schemes
from experiments.tables import cells, same_data, table_specs, tuning_file
from experiments.tables.result import Result


class Plateau(dm_jax.EDF):
    """Equal weights above the knee, falling to zero below it."""

    knee: float

    def weight(self, p):
        """w(p)."""
        return jnp.clip(p / self.knee, 0.0, 1.0)


class Cosine(dm_jax.EDF):
    """A scheme whose parameter is also a short name of configs."""

    rate: float = 3.0

    def weight(self, p):
        """w(p)."""
        return 1 + jnp.cos(self.rate * p)


class Saturated(dm_jax.EDF):
    """A scheme whose parameter is also a key of a config's loss."""

    saturation: float = 0.5

    def weight(self, p):
        """w(p)."""
        return 1 - p + self.saturation


class Mixture(dm_jax.EDF):
    """A scheme of two others."""

    parts: tuple = (dm_jax.CCE(), dm_jax.MAE())

    def weight(self, p):
        """w(p)."""
        return sum(part.weight(p) for part in self.parts)


HERE = f"{__name__}:Plateau"

focal = dm_jax.from_weight(lambda p: (1 - p) ** 2)
taylor = dm_jax.from_loss(lambda p: (1 - p) + (1 - p) ** 2 / 2)
gentle = Plateau(knee=0.1)


def config(arguments):
    found = digits.get_config(f"{arguments},rate=0.4,steps=40")
    return train.Config.parse(found)


@pytest.fixture(scope="module")
def dataset():
    return data.load("digits")


def test_in_a_population_beside_built_in_ones_and_swept(dataset):
    schemes = [f"method={HERE}-DN,knee={knee}" for knee in (0.1, 0.5)] + ["method=DM"]
    members = [build.experiment(config(scheme), dataset) for scheme in schemes]
    low, high, dm = population.train_population(members, progress=ProgressBar(quiet=True))
    losses = [summary.final("train_loss") for summary in (low, high, dm)]
    assert np.isfinite(losses).all()
    assert len(set(losses)) == 3


def test_of_functions_in_a_population(dataset):
    members = [
        build.experiment(config(f"method={__name__}:{name}"), dataset)
        for name in ("focal", "taylor", "focal")
    ]
    summaries = population.train_population(members, progress=ProgressBar(quiet=True))
    focal_loss, taylor_loss, again = (summary.final("train_loss") for summary in summaries)
    assert np.isfinite([focal_loss, taylor_loss]).all()
    assert focal_loss == again != taylor_loss


def test_an_edf_has_its_own_values_unless_others_are_given():
    for arguments, knee in (("", 0.1), (",knee=0.4", 0.4)):
        edf = build.experiment(config(f"method={__name__}:gentle{arguments}")).edf
        assert edf == Plateau(knee)


def test_an_edf_is_shown_by_its_name_in_the_module():
    losses = [
        {"name": f"{__name__}:focal"},
        {"name": f"{__name__}:gentle", "knee": 0.4},
        {"name": f"{__name__}:Plateau", "knee": 0.4},
    ]
    cell = {"table": "digits", "row": "Own", "column": "clean", "seed": 1}
    runs = [Result(**cell, final=1.0, best=1.0, config={"loss": loss}) for loss in losses]
    assert list(schemes.by_name(runs)) == ["focal", "gentle(knee=0.4)", "Plateau(knee=0.4)"]


@pytest.mark.long
def test_scheduled(dataset):
    found = digits.get_config(f"method={HERE},knee=0.1,steps=40")
    found.loss.schedule = {"knee": 0.9}
    found.loss.schedule_length = "20 steps"
    experiment = build.experiment(train.Config.parse(found), dataset)
    schedule = experiment.settings.edf_schedules["knee"]
    np.testing.assert_allclose([schedule(0), schedule(10), schedule(40)], [0.1, 0.5, 0.9], 1e-6)
    (summary,) = population.train_population([experiment], progress=ProgressBar(quiet=True))
    assert np.isfinite(summary.final("train_loss"))


def test_a_parameter_is_not_taken_for_the_config_key_of_its_name(dataset):
    with pytest.raises(ValueError, match=r"'rate' is a parameter of .*Cosine.* loss\.rate=VALUE"):
        digits.get_config(f"method={__name__}:Cosine,rate=0.25")
    found = digits.get_config(f"method={__name__}:Cosine,loss.rate=2,rate=0.25")
    assert (found.loss.rate, found.noise.rate) == (2, 0.25)
    with pytest.raises(ValueError, match="a parameter cannot be called 'saturation'"):
        build.experiment(config(f"method={__name__}:Saturated"), dataset)


def test_in_a_table_whose_columns_set_a_key_of_its_parameters_name():
    spec = table_specs.get("digits").with_method("Own", f"method={__name__}:Cosine", {})
    changed = dataclasses.replace(spec, changes="loss.rate=2")
    cells = [table.cell_config("Own", "sym_0.4", 1) for table in (spec, changed)]
    assert [cell.noise.rate for cell in cells] == [0.4, 0.4]
    assert [cell.loss.parameters for cell in cells] == [{}, {"rate": 2}]


class Steep(dm_jax.EDF):
    """A scheme with a log_weight of its own, which is what the loss uses."""

    slope: float

    def weight(self, p):
        """w(p)."""
        return jnp.exp(self.slope * (1 - p))

    def log_weight(self, margin):
        """log w."""
        return self.slope * jax.nn.sigmoid(-margin)


@pytest.mark.parametrize(
    ("cls", "arguments", "method", "changed"),
    [
        (Plateau, "knee=0.5", "weight", lambda self, p: 1 - p),
        (Steep, "slope=3", "log_weight", lambda self, m: self.slope * jax.nn.sigmoid(m)),
    ],
)
def test_changed_code_is_noticed(cls, arguments, method, changed, dataset, tmp_path, monkeypatch):
    own = config(f"method={__name__}:{cls.__name__},{arguments}")
    cell, experiment = cells.Cell("digits", "P", "clean", 1, own), build.experiment(own, dataset)
    profile, chosen = weight_profile.profile(own.loss), dict(own.loss.parameters)
    known = {"table": "digits", "row": "P", "column": "clean", "weight_profile": profile}
    result = Result(**known, seed=1, final=1.0, best=1.0, config=cell.recorded_config)
    search = tuning_file.ParameterSearch(**known, chosen=chosen, tried=[(chosen, 1.0)], seeds=[1])
    workdir.record(tmp_path, experiment)

    def drawn():
        (scheme,) = schemes.by_name([result]).values()
        return scheme.edf

    def check(results=(), searches=()):
        same_data.check_schemes([cell], results, searches)

    workdir.check(tmp_path, experiment)
    check([result], [search])
    assert drawn() == experiment.edf
    monkeypatch.setattr(cls, method, changed)
    with pytest.raises(ValueError, match=r"holds a run with other weights .* its code has changed"):
        workdir.check(tmp_path, experiment)
    workdir.check(tmp_path, experiment, allow_changes=True)
    with pytest.raises(ValueError, match="has changed since the result for P at clean"):
        check([result])
    with pytest.raises(ValueError, match="has changed since the search for P at clean"):
        check([], [search])
    check([dataclasses.replace(result, weight_profile=[])])  # of an older version
    assert drawn() is None


def test_profiles_of_other_precisions_are_the_same():
    found = config(f"method={__name__}:Narrow,width=0.05").loss
    with jax.enable_x64(True):
        double = weight_profile.profile(found)
    assert weight_profile.same(weight_profile.profile(found), double)
    assert not weight_profile.same(
        double, weight_profile.profile(dataclasses.replace(found, parameters={"width": 0.06}))
    )


def test_profiles_are_the_same_up_to_what_precisions_differ_by():
    assert weight_profile.same([0.0, 1.0], [0.04, 1.0])
    assert not weight_profile.same([0.0, 1.0], [0.1, 1.0])
    for unknown in (([], [1.0]), ([1.0], [])):
        assert weight_profile.same(*unknown)


def test_a_profile_ends_where_weights_are_as_good_as_zero():
    found = weight_profile.log_weights(dm_jax.Exponential(beta=100.0))
    assert max(found) - min(found) == pytest.approx(7)


class Narrow(dm_jax.EDF):
    """A scheme whose weights underflow in float32."""

    width: float

    def weight(self, p):
        """w(p)."""
        return jnp.exp(-(((p - 0.3) / self.width) ** 2))


def test_only_numbers_are_scheduled(dataset):
    scheduled = "loss.schedule.parts=4,loss.schedule_length=9 steps"
    with pytest.raises(ValueError, match="only numbers can be scheduled, and parts of"):
        build.experiment(config(f"method={__name__}:Mixture,{scheduled}"), dataset)


def test_plotted():
    figure, axes = plots.panels(1)
    plots.densities(axes[0], {"Plateau": Plateau(0.3), "CCE": dm_jax.CCE()})
    own, _ = (line for line in axes[0].lines if len(line.get_xdata()) > 2)
    np.testing.assert_allclose(own.get_ydata(), Plateau(0.3).density(own.get_xdata()), rtol=1e-5)
    plots.finish(figure, axes)


def _command(tmp_path, *arguments):
    (tmp_path / "my_schemes.py").write_text(
        "import jax.numpy as jnp\nimport dm_jax\n\n\n"
        "class Plateau(dm_jax.EDF):\n    knee: float\n\n"
        "    def weight(self, p):\n        return jnp.clip(p / self.knee, 0.0, 1.0)\n"
    )
    return subprocess.run(
        [sys.executable, "-m", *arguments, f"--workdir={tmp_path / 'run'}"],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.long
def test_from_the_command_line(tmp_path):
    config = "configs/digits.py:method=my_schemes:Plateau,knee=0.2,rate=0.4,steps=40"
    done = _command(tmp_path, "experiments.train", f"--config={config}", "--config.loss.knee=0.4")
    assert done.returncode == 0, done.stderr
    assert "my_schemes:Plateau(knee=0.4)" in done.stdout


@pytest.mark.long
def test_searched_and_reported_beside_the_methods_of_a_table(tmp_path):
    done = _command(
        tmp_path,
        "experiments.reproduce",
        *("--table=digits", "--columns=sym_0.4", "--rows=CCE,Plateau", "--seeds=2", "--scale=0.03"),
        "--method=Plateau: method=my_schemes:Plateau,knee=0.5",
        "--grid=Plateau: knee=0.1;0.3",
    )
    assert done.returncode == 0, done.stderr
    report = (tmp_path / "run" / "report.md").read_text()
    assert re.search(r"\| Plateau \|.*2 seeds", report)
    assert "my_schemes:Plateau(knee=0." in report
    assert "\nPlateau" in done.stdout
