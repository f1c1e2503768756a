"""The types of the package, and its stubs against the running package."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

import hig

pytest.importorskip("mypy")
ROOT = Path(__file__).parents[2]
SETTINGS = ROOT / "pyproject.toml"


def python(*arguments: str, cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, env=os.environ)


def test_the_package_is_typed_strictly():
    checked = python("-m", "mypy", "--config-file", str(SETTINGS))
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_stubs_agree_with_the_runtime(tmp_path):
    arguments = ["-m", "mypy.stubtest", "hig", "--mypy-config-file", str(SETTINGS)]
    # What equinox leaves in classes, as its versions differ.
    unseen = ["hig\\.optimistix\\..*\\.__abstract(class)?vars__"]
    if importlib.util.find_spec("torch") is None:
        # What cannot be imported without it.
        unseen += ["hig\\.torch", "hig\\._torch_.*"]
    allowed = tmp_path / "allowed"
    allowed.write_text("\n".join(unseen))
    arguments += ["--allowlist", str(allowed), "--ignore-unused-allowlist"]
    checked = python(*arguments, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_users_mistakes_are_seen(tmp_path):
    assert (Path(hig.__file__).parent / "py.typed").exists()
    program = tmp_path / "program.py"
    program.write_text(
        "import hig\n"
        "hig.methods.HalfInverse(cutoff=1e-5)\n"
        "hig.methods.HalfInverse(cutof=1e-5)\n"
        "hig.train(hig.systems.Toy(), 'hig', updates=3, batch='many')\n"
    )
    checked = python("-m", "mypy", "--strict", str(program), cwd=tmp_path)
    lines = [
        line.split(":")[1]
        for line in checked.stdout.splitlines()
        if "error" in line and ".py:" in line
    ]
    assert lines == ["3", "4"], checked.stdout
