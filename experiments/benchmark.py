"""Runs a benchmark: `python -m experiments.benchmark loss`.

Each is a module of `experiments.benchmarks` with a `main(argv)`, which gets the other flags.
"""

import importlib
import pkgutil
import sys

from dm_jax.errors import unknown
from experiments import benchmarks, startup


def names() -> list[str]:
    """The names of the benchmarks."""
    return [module.name for module in pkgutil.iter_modules(benchmarks.__path__)]


def main(argv: list[str]) -> None:
    """Runs the benchmark named first, with the flags after it."""
    if not argv or argv[0] in ("-h", "--help"):
        print(f"{__doc__}\nBenchmarks: {', '.join(names())}")
        return
    if argv[0] not in names():
        raise SystemExit(str(unknown("benchmark", argv[0], names())))
    with startup.one_line_errors():
        importlib.import_module(f"experiments.benchmarks.{argv[0]}").main(argv[1:])


if __name__ == "__main__":
    main(sys.argv[1:])
