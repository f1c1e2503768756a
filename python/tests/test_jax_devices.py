"""Samples on several devices and in several processes, against the trajectory of one device."""

from __future__ import annotations

import json
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


def started(folder, devices, *more, within=()):
    """One process with so many devices, or one of two with one each; within a command."""
    path = os.pathsep.join([str(HERE), *sys.path])
    forced = 1 if more else devices
    flags = {"XLA_FLAGS": f"--xla_force_host_platform_device_count={forced}"}
    environment = {**os.environ, **flags, "PYTHONPATH": path, "JAX_PLATFORMS": "cpu"}
    program = [sys.executable, HERE / "devices_worker.py", folder, str(devices)]
    command = [*within, *program, *map(str, more)]
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
    address = f"127.0.0.1:{free_port()}"
    return [started(folder, 2, process, address, *more) for process in (0, 1)]


class Hosts:
    """Two hosts of one machine: namespaces with networks and names of their own, joined by a virtual cable.

    They last as long as the process in each of them.
    """

    ADDRESSES = "10.77.0.1", "10.77.0.2"
    NAMES = "hig-first", "hig-second"

    def __init__(self, folder):
        told = "".join(f"{a} {name}\n" for a, name in zip(self.ADDRESSES, self.NAMES))
        names = folder / "hosts"
        names.write_text(f"127.0.0.1 localhost\n{told}")
        script = 'mount --bind "$0" /etc/hosts && hostname "$1" && echo ready && exec sleep 3600'
        apart = ["unshare", "--net", "--uts", "--mount", "sh", "-c", script, names]
        self._holders = []
        try:
            for name in self.NAMES:
                holder = subprocess.Popen(
                    [*apart, name], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
                )
                self._holders.append(holder)
                if holder.stdout.readline() != "ready\n":
                    raise OSError(holder.stderr.read())
            cable = f"ip link add cable netns {self._pid(0)} type veth peer name cable netns {self._pid(1)}"
            self._run(*cable.split())
            for i, address in enumerate(self.ADDRESSES):
                for command in (
                    f"ip addr add {address}/24 dev cable",
                    "ip link set cable up",
                    "ip link set lo up",
                ):
                    self._run(*self.within(i), *command.split())
        except BaseException:
            self.close()
            raise

    def _pid(self, i):
        return self._holders[i].pid

    def pids(self):
        """A process in each of them."""
        return [holder.pid for holder in self._holders]

    @staticmethod
    def _run(*command):
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise OSError(f"{' '.join(command)}: {done.stderr}")

    def carried(self):
        """Bytes that came over the cable to the first one."""
        told = subprocess.check_output(
            [*self.within(0), *"ip -json -statistics link show cable".split()]
        )
        return json.loads(told)[0]["stats64"]["rx"]["bytes"]

    def within(self, i):
        """What starts a command on one of them."""
        return ["nsenter", "--target", str(self._pid(i)), "--net", "--uts", "--mount", "--"]

    def close(self):
        for holder in self._holders:
            holder.kill()
            holder.wait()
            holder.stdout.close()
            holder.stderr.close()


@pytest.fixture
def hosts(tmp_path):
    try:
        made = Hosts(tmp_path)
    except OSError as error:
        pytest.skip(f"this machine makes no network namespaces: {error}")
    yield made
    made.close()


def on_both(hosts, folder, *more):
    """One process on each host."""
    address = f"{hosts.ADDRESSES[0]}:7777"
    return [
        started(folder, 2, process, address, *more, within=hosts.within(process))
        for process in (0, 1)
    ]


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


@pytest.mark.nightly
def test_two_hosts_that_are_killed_go_on(tmp_path, hosts):
    """As two processes do, in namespaces that share no network but a cable."""
    networks = {os.readlink(f"/proc/{place}/ns/net") for place in ("self", *hosts.pids())}
    assert len(networks) == 3
    first, second = on_both(hosts, tmp_path, "killed")
    assert second[0].wait(600) == -signal.SIGKILL, second[1].read_text()[-3000:]
    first[0].kill()
    first[0].wait(60)
    assert (tmp_path / "kept.safetensors").is_file()
    assert not (tmp_path / "adaptive-hig-2-0.npy").exists()
    before = hosts.carried()
    ended([started(tmp_path, 1), *on_both(hosts, tmp_path)])
    # More than the half of J and the gradients of one training.
    assert hosts.carried() - before > 10_000
    agree(tmp_path, ["2-0", "2-1"])
    for method in ("hig", "adaptive-hig"):
        both = [np.load(tmp_path / f"{method}-2-{process}.npy") for process in (0, 1)]
        assert np.array_equal(*both)
