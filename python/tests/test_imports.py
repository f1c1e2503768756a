"""The modules of the package import each other in one direction, types included."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import hig

ROOT = Path(hig.__file__).parent


def imported(path: Path, modules: set[str]) -> set[str]:
    """The modules of the package that a file imports anywhere, also for types only."""
    here = [*path.relative_to(ROOT).with_suffix("").parts]
    package = here[:-1]
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.ImportFrom) and node.level):
            continue
        base = package[: len(package) - (node.level - 1)]
        base = [*base, *(node.module or "").split(".")] if node.module else base
        for name in ["", *(alias.name for alias in node.names)]:
            module = ".".join([*base, name] if name else base)
            found |= {module, f"{module}.__init__"} & modules
    return found - {".".join(here)}


def test_no_circle_of_imports() -> None:
    files = {
        ".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in ROOT.rglob("*.py")
    }
    waiting = {
        name: imported(path, set(files)) for name, path in files.items() if name != "__init__"
    }
    while waiting:
        free = {name for name, needs in waiting.items() if not needs & set(waiting)}
        assert free, f"a circle among {sorted(waiting)}"
        waiting = {name: needs for name, needs in waiting.items() if name not in free}


@pytest.mark.parametrize(
    ("said", "missing", "message"),
    [
        ("hig.jax", "jax", "hig.jax needs jax: python -m pip install jax optax"),
        ("import hig.jax", "optax", "hig.jax needs optax: python -m pip install jax optax"),
        ("hig.torch", "torch", "hig.torch needs torch: python -m pip install torch"),
        ("hig.optimistix", "equinox", "hig.optimistix needs equinox: python -m pip install jax"),
        (
            "hig.train(hig.systems.Toy(), 'hig', updates=1).plot()",
            "matplotlib",
            "Result.plot needs matplotlib: python -m pip install matplotlib",
        ),
    ],
)
def test_a_package_that_is_missing_is_named(said: str, missing: str, message: str) -> None:
    hidden = f"""
import sys


class Hidden:
    def find_spec(self, name, path, target=None):
        if name == {missing!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)


sys.meta_path.insert(0, Hidden())
import hig
{said}
"""
    run = subprocess.run([sys.executable, "-c", hidden], capture_output=True, text=True)
    assert run.returncode == 1 and f"ModuleNotFoundError: {message}" in run.stderr, run.stderr
