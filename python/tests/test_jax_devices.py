"""Samples on several devices and in several processes, against the trajectory of one device."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("jax")

HERE = Path(__file__).parent


def started(folder, devices, *more):
    """One process with so many devices, or one of two with one each."""
    path = os.pathsep.join([str(HERE), *sys.path])
    forced = 1 if more else devices
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={forced}"}
    environment = {**os.environ, **flags, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, HERE / "devices_worker.py", folder, str(devices), *map(str, more)]
    errors = folder / f"errors-{devices}-{more[0] if more else 0}.txt"
    with errors.open("w") as told:
        return subprocess.Popen(command, stderr=told, stdout=told, env=environment), errors


def ended(processes, limit=600):
    for process, errors in processes:
        try:
            code = process.wait(limit)
        except subprocess.TimeoutExpired:
            for other, _ in processes:
                other.kill()
            raise
        assert code == 0, errors.read_text()[-3000:]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def two_of(folder, *more):
    port = free_port()
    return [started(folder, 2, process, port, *more) for process in (0, 1)]


def agree(folder, names):
    methods = ("hig", "lanczos", "adaptive-hig", "optimizer-auto", "optimizer-jacobian")
    for method in methods:
        expected = np.load(folder / f"{method}-1-0.npy")
        # What is below the tolerance of Lanczos depends on rounding.
        close = 1e-7 if method == "lanczos" else 1e-10
        for name in names:
            found = np.load(folder / f"{method}-{name}.npy")
            assert np.allclose(found, expected, rtol=close, atol=close), (method, name)


def test_eight_devices_of_one_process(tmp_path):
    ended([started(tmp_path, 1), started(tmp_path, 8)])
    agree(tmp_path, ["8-0"])


@pytest.mark.nightly
def test_two_processes(tmp_path):
    ended([started(tmp_path, 1), *two_of(tmp_path)])
    agree(tmp_path, ["2-0", "2-1"])
    for method in ("hig", "adaptive-hig"):
        both = [np.load(tmp_path / f"{method}-2-{process}.npy") for process in (0, 1)]
        assert np.array_equal(*both)


@pytest.mark.nightly
def test_two_processes_that_are_killed_go_on(tmp_path):
    """Both are killed at different updates, and go on from what the first one kept."""
    first, second = two_of(tmp_path, "killed")
    assert second[0].wait(600) == -signal.SIGKILL, second[1].read_text()[-3000:]
    first[0].kill()
    first[0].wait(60)
    assert (tmp_path / "kept.safetensors").is_file()
    (tmp_path / "kept.process1.safetensors").unlink(missing_ok=True)
    assert not (tmp_path / "adaptive-hig-2-0.npy").exists()
    ended([started(tmp_path, 1), *two_of(tmp_path)])
    agree(tmp_path, ["2-0", "2-1"])
