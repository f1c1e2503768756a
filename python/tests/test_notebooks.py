"""The notebooks run, and what they assert holds."""

from __future__ import annotations

from pathlib import Path

import pytest

nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
FOLDER = Path(__file__).parents[2] / "examples" / "python"


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_runs(path):
    if "phi." in path.read_text():
        pytest.importorskip("phi")
    if "import torch" in path.read_text():
        pytest.importorskip("torch")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": FOLDER}}
    ).execute()
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert any("assert" in cell.source for cell in code)
    assert all(cell.execution_count for cell in code if cell.source)


def test_all_of_them_are_known():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == {
        "chapter",
        "compiled_training",
        "least_squares",
        "own_closed_loop",
        "own_equation",
        "own_jax_network",
        "own_simulator",
        "own_torch_module",
        "several_devices",
    }
