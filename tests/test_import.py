"""`import dm_jax` is light: what is slow to import is imported by what needs it."""

import operator
import subprocess
import sys

import pytest

import dm_jax

HEAVY = (
    "gensim", "grain", "matplotlib", "orbax", "pandas", "sklearn", "tensorboardX", "tensorflow",
    "tensorflow_datasets", "torch",
)  # fmt: skip


def test_rooms_are_imported_when_first_used():
    program = "import dm_jax; [dm_jax.models.create, dm_jax.noise.corrupt, dm_jax.train.run]"
    subprocess.run([sys.executable, "-c", program], check=True)
    assert {"DM", "data", "models", "noise", "train"} <= set(dir(dm_jax))
    with pytest.raises(AttributeError, match="module 'dm_jax' has no attribute 'model'"):
        operator.attrgetter("model")(dm_jax)


def test_import_of_the_library_imports_nothing_heavy():
    program = f"import sys, dm_jax; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
