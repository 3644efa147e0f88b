"""`experiments.train` as one process, or as two that share a run, each with simulated devices."""

import os
import resource
import socket
import subprocess
import sys
from collections.abc import Mapping
from typing import Any

_ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def start(
    workdir,
    devices: int,
    config: str,
    changes: Mapping[str, Any],
    *,
    largest_file: int = resource.RLIM_INFINITY,
) -> subprocess.Popen:
    """One process; changes are values of the config by their place, "train.length"."""
    flags = [f"--config.{name}={value}" for name, value in changes.items()]
    command = ["-m", "experiments.train", f"--config={config}", f"--workdir={workdir}", *flags]
    return subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"XLA_FLAGS": f"--xla_force_host_platform_device_count={devices}"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=_ROOT,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, largest_file)),
    )


def start_both(
    workdir,
    config: str,
    changes: Mapping[str, Any],
    *,
    of_second: Mapping[str, Any] | None = None,
    **options: Any,
) -> list[subprocess.Popen]:
    """Two processes of four devices each, with options of `start`.

    `of_second` are changes that only the second is given.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    together = {"parallel.distributed": "true", "parallel.coordinator": address}
    together |= {"parallel.processes": 2}
    return [
        start(workdir, 4, config, {**changes, **together, **own}, **options)
        for own in ({"parallel.process": 0}, {"parallel.process": 1, **(of_second or {})})
    ]


def finish(processes: list[subprocess.Popen]) -> list[str]:
    """Their output; all of them must succeed."""
    outputs = [process.communicate(timeout=200)[0] for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes), outputs
    return outputs
