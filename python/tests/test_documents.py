"""The programs in the documents run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    "name", ["README.md", "docs/python.md", "docs/pytorch.md", "docs/residuals.md"]
)
def test_the_programs_run(name, tmp_path, monkeypatch):
    needed = {"docs/pytorch.md": "torch", "docs/residuals.md": "numpy"}
    pytest.importorskip(needed.get(name, "jax"))
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)
    assert programs
    names: dict[str, object] = {}
    for program in programs:
        exec(compile(program, name, "exec"), names)
