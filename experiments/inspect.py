"""Shows the corruption of a config: `python -m experiments.inspect --config=... --workdir=DIR`.

Writes corruption.md (settings, actual rate, hash, a table of the classes) and its pictures: the
transition matrix as a heat map, class counts before and after, and a sheet of mislabelled images.
Config values are changed as for `experiments.train`: `--config.noise.rate=0.2`.
"""

from absl import flags
from ml_collections import config_flags

from dm_jax import data, train
from dm_jax.train import build
from experiments import startup
from experiments.reporting import corruption_page

_CONFIG = config_flags.DEFINE_config_file("config", None, "The configuration.", lock_config=True)
_WORKDIR = flags.DEFINE_string("workdir", None, "Folder for the page and pictures.", required=True)


def main() -> None:
    """Writes the page about the labels that this config would train on."""
    workdir = startup.folder("--workdir", _WORKDIR.value)
    config = train.Config.parse(_CONFIG.value)
    if data.is_streamed(config.data.name):
        raise ValueError(
            f"{config.data.name} is streamed with its own labels: there is no corruption to show"
        )
    dataset = data.load(config.data.name, data_dir=config.data.data_dir or None)
    corruption, _ = build.draw_corruptions(config, dataset)
    names = corruption_page.write(dataset, corruption, workdir)
    print(f"{100 * corruption.actual_rate:.2f}% of the labels are wrong; see {_WORKDIR.value}:")
    print("\n".join(f"  {name}" for name in names))


if __name__ == "__main__":
    flags.mark_flag_as_required("config")
    startup.run(main)
