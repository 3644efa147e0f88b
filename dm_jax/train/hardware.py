"""What a run computes on, as text."""

import functools
import os
import pathlib
import platform
import re

import jax


def devices(count: int) -> str:
    """`count` devices of all hosts (0 for all of them), as "1 x NVIDIA H200 (gpu)"."""
    found = jax.devices()
    platform = found[0].platform
    detail = f"{platform}, {os.cpu_count()} cores" if platform == "cpu" else platform
    return f"{count or len(found)} x {kind(found[0])} ({detail})"


def kind(device: jax.Device) -> str:
    """The model of a device; of a CPU, which JAX only calls "cpu", that of the processor."""
    return _processor() if device.platform == "cpu" else device.device_kind


@functools.cache
def _processor() -> str:
    """The processor's name, as far as the system knows it."""
    try:
        text = pathlib.Path("/proc/cpuinfo").read_text()
    except OSError:  # not Linux
        text = ""
    named = re.search(r"^model name\s*:\s*(.+)$", text, re.MULTILINE)
    return named[1] if named else platform.processor() or platform.machine()
