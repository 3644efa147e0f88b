"""`import dm_jax` is light: what is slow to import is imported by what needs it."""

import subprocess
import sys

HEAVY = (
    "gensim", "grain", "matplotlib", "orbax", "pandas", "sklearn", "tensorboardX", "tensorflow",
    "tensorflow_datasets", "torch",
)  # fmt: skip


def test_import_of_the_library_imports_nothing_heavy():
    program = f"import sys, dm_jax; print([name for name in {HEAVY} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
