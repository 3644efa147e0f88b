"""Eight simulated CPU devices, strict rank promotion, and the switches of the suite.

Most of the suite's time is the compiler's. What only makes programs faster (rounding aside) is left
out, unless --optimize is given, and processes share what they have compiled.
"""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault(
    "JAX_COMPILATION_CACHE_DIR",
    str(pathlib.Path(__file__).parents[1] / ".pytest_cache" / "jax"),
)
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0.1")

import jax
import pytest

jax.config.update("jax_numpy_rank_promotion", "raise")


def pytest_addoption(parser):
    parser.addoption("--long", action="store_true", help="also run the tests that take minutes")
    parser.addoption("--optimize", action="store_true", help="compile programs as users do")


def pytest_configure(config):
    # XLA reads its flags later, when the first program is compiled; of two values the last counts.
    flags = ["--xla_force_host_platform_device_count=8"]
    if not config.getoption("--optimize"):
        flags.append("--xla_backend_optimization_level=0")
        if jax.__version_info__ < (0, 11):  # these emitters have no switch later
            flags.append("--xla_cpu_use_fusion_emitters=false")
    os.environ["XLA_FLAGS"] = " ".join([*flags, os.environ.get("XLA_FLAGS", "")])


def pytest_collection_modifyitems(config, items):
    if config.getoption("--long"):
        return
    skip = pytest.mark.skip(reason="takes minutes: run with --long")
    for item in items:
        if "long" in item.keywords:
            item.add_marker(skip)
