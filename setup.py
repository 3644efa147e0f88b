"""Packaging of dm_jax: dependencies as ranges, extras by what a user wants to do."""

import pathlib
import re

from setuptools import find_packages, setup

HERE = pathlib.Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "dm_jax/__init__.py").read_text())[1]

REQUIRED = [
    "absl-py>=2.1",
    "array_record>=0.8.1",
    "flax>=0.12,<0.14",
    "grain>=0.2.15,<0.4",
    "jax>=0.10,<0.12",
    "matplotlib>=3.8.4",
    "ml-collections>=1.0",
    "numpy>=2.0",
    "optax>=0.2.5,<0.4",
    "orbax-checkpoint>=0.11.30,<0.14",
    "pillow>=10.3",
    "scikit-learn>=1.4.2",
    "scipy>=1.14",
    "tensorboardX>=2.6.2",
    "tensorflow-datasets>=4.9.10",
    "tqdm>=4.66",
]
EXTRAS = {
    # What TFDS needs to prepare (not to read) a data set.
    # importlib_resources: TFDS 4.9.10 asks for it, but requires it of Python 3.8 only.
    "datasets": ["importlib_resources>=6", "pandas>=2.2.2", "tensorflow>=2.19"],
    # Decoding and scaling the images of large data sets.
    "images": ["opencv-python-headless>=4.12"],
    # Paragraph vectors of the IMDB reviews.
    "text": ["gensim>=4.4"],
    # ImageNet weights from .safetensors files.
    "pretrained": ["safetensors>=0.4.3"],
    # Sending the cells of a table to a SLURM cluster.
    "slurm": ["submitit>=1.5"],
    "test": [
        "hypothesis>=6.100",
        "mypy>=2.4,<3",
        "opencv-python-headless>=4.12",
        "pytest>=8.2",
        "pytest-xdist>=3.6",
        "ruff>=0.17,<0.18",
        "safetensors>=0.4.3",
        "submitit>=1.5",
    ],
}
EXTRAS["all"] = sorted({requirement for extra in EXTRAS.values() for requirement in extra})
# Not in "all", as it is large: weights from .pth files, and tests that compare with PyTorch.
EXTRAS["pytorch"] = ["torch>=2.4"]

setup(
    name="dm_jax",
    version=VERSION,
    description="Derivative Manipulation: robust training by example weighting, in JAX",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["dm_jax*", "experiments*", "configs*"]),
    package_data={"dm_jax": ["py.typed"], "experiments": ["**/*.csv", "**/*.css"]},
    python_requires=">=3.11",
    install_requires=REQUIRED,
    extras_require=EXTRAS,
)
