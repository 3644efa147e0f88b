"""Prepares a data set once: `python -m experiments.prepare NAME [--data_dir=D] [--manual_dir=M]`.

Needs TensorFlow (`pip install 'dm_jax[datasets]'`); training on prepared data does not.
Clothing1M, MARS and CIFAR-N must be downloaded by hand, into --manual_dir (docs/data.md).
"""

import argparse
import sys

from dm_jax.data.tfds_builders import prepare
from experiments import startup


def main(argv: list[str]) -> None:
    """Prepares the data set named on the command line and prints where it is."""
    parser = argparse.ArgumentParser(prog="experiments.prepare", description=__doc__)
    parser.add_argument("name", help="such as cifar10, imdb, clothing1m, or any TFDS name")
    parser.add_argument("--data_dir", help="default: $TFDS_DATA_DIR or ~/tensorflow_datasets")
    parser.add_argument("--manual_dir", help="folder of files downloaded by hand")
    flags = parser.parse_args(argv)
    with startup.one_line_errors():
        path = prepare(flags.name, data_dir=flags.data_dir, manual_dir=flags.manual_dir)
    print(f"{flags.name} is prepared in {path}")


if __name__ == "__main__":
    main(sys.argv[1:])
