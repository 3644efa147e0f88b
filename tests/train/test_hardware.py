"""Devices are named as provenance needs them."""

import os
import pathlib
import types

import jax
import pytest

from dm_jax.train import hardware


@pytest.fixture(autouse=True)
def _read_again():
    hardware._processor.cache_clear()
    yield
    hardware._processor.cache_clear()


def test_a_gpu_has_the_name_that_jax_gives_it(monkeypatch):
    gpu = types.SimpleNamespace(platform="gpu", device_kind="NVIDIA H200")
    monkeypatch.setattr(jax, "devices", lambda: [gpu, gpu])
    assert hardware.devices(1) == "1 x NVIDIA H200 (gpu)"
    assert hardware.devices(0) == "2 x NVIDIA H200 (gpu)"


def test_a_cpu_has_that_of_its_processor(monkeypatch):
    text = "processor\t: 0\nmodel name\t: AMD EPYC 7B13\nmodel name\t: AMD EPYC 7B13\n"
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: text)
    cores = os.cpu_count()
    assert hardware.devices(1) == f"1 x AMD EPYC 7B13 (cpu, {cores} cores)"


def test_a_processor_that_the_system_does_not_name_has_that_of_its_architecture(monkeypatch):
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: "processor\t: 0\n")
    monkeypatch.setattr(hardware.platform, "processor", lambda: "")
    monkeypatch.setattr(hardware.platform, "machine", lambda: "aarch64")
    assert hardware.kind(jax.devices()[0]) == "aarch64"
