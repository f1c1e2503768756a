"""The programs in the documents run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", ["README.md", "docs/python.md", "docs/pytorch.md"])
def test_the_programs_run(name, tmp_path, monkeypatch):
    pytest.importorskip("torch" if name == "docs/pytorch.md" else "jax")
    monkeypatch.chdir(tmp_path)
    programs = re.findall(r"^```python\n(.*?)^```", (ROOT / name).read_text(), re.M | re.S)
    assert programs
    names: dict[str, object] = {}
    for program in programs:
        exec(compile(program, name, "exec"), names)
