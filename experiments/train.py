"""Trains one network: `python -m experiments.train --config=configs/digits.py --workdir=DIR`.

Any config value can be changed: `--config.loss.beta=4`, or by arguments of the config file:
`--config=configs/digits.py:method=GCE,rate=0.6`. The same command started again resumes from the
last checkpoint.
"""

import math

import jax
from absl import flags
from ml_collections import config_flags

from dm_jax import train
from experiments import startup
from experiments.progress import ProgressBar
from experiments.text import duration, loss

FLAGS = flags.FLAGS


def main() -> None:
    """Trains, and prints the outcome in one line."""
    config, workdir = train.Config.parse(FLAGS.config), startup.folder("--workdir", FLAGS.workdir)
    summary = train.run(
        config, workdir, progress=ProgressBar(), allow_changes=FLAGS.allow_config_change
    )
    if jax.process_index() == 0:
        print(describe(config, summary, FLAGS.workdir))


def describe(config: train.Config, summary: train.Summary, workdir: str) -> str:
    """The outcome of a run in one line."""
    if not summary.finished:
        return f"stopped at step {summary.step} of {summary.total}; the same command resumes there"
    return (
        f"{config.data.name} with {_labels(config, summary)}, "
        f"{loss(config.to_dict()['loss'])}: {_test(summary)}; {duration(summary.seconds)}; "
        f"see {workdir}"
    )


def _labels(config: train.Config, summary: train.Summary) -> str:
    if math.isnan(summary.actual_rate):
        return "its own labels"
    return f"{100 * summary.actual_rate:.1f}% wrong training labels ({config.noise.kind})"


def _test(summary: train.Summary) -> str:
    if summary.curve("test_mAP"):
        rank1 = summary.final("test_CMC-1")
        return f"mAP {100 * summary.final('test_mAP'):.1f}%, CMC-1 {100 * rank1:.1f}% at the end"
    name = next((n for n in ("test", "validation") if summary.curve(f"{n}_accuracy")), None)
    if name is None:
        return "no evaluation"
    accuracy = f"{name}_accuracy"
    tested = (
        f"{name} accuracy {100 * summary.final(accuracy):.1f}% at the end, "
        f"{100 * summary.best(accuracy):.1f}% at best (step {summary.best_step(accuracy)})"
    )
    if not summary.curve("fit_accuracy"):
        return tested
    return (
        f"{tested}; {100 * summary.final('fit_accuracy_given'):.1f}% of the given training labels "
        f"and {100 * summary.final('fit_accuracy'):.1f}% of the true ones fitted"
    )


if __name__ == "__main__":
    # Defined here, so that importing `describe` does not define these flags.
    config_flags.DEFINE_config_file("config", None, "The configuration.", lock_config=True)
    flags.DEFINE_string("workdir", None, "Folder for all files of the run.", required=True)
    flags.DEFINE_bool("allow_config_change", False, "Resume even if the config has changed.")
    flags.mark_flag_as_required("config")
    startup.run(main)
