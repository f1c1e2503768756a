"""The package trains to the bits of the program: ``hig.train`` is ``hig run`` with the same options."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest

import hig

PROGRAM = Path(__file__).parents[2] / "target" / "release" / "hig"

pytestmark = pytest.mark.skipif(not PROGRAM.exists(), reason="target/release/hig is not built")

BUDGETS = [{"updates": 12}, {"epochs": 2.5}]
METHODS = ["adam", "sgd", "hig", "gn", "lm", "spring", "lbfgs", "sip", "adaptive-hig"]


def run(folder, method: str, budget: dict[str, float], seed: int):
    """Weights and losses at every evaluation of ``hig run``."""
    limits = [word for key, value in budget.items() for word in (f"--{key}", str(value))]
    command = [PROGRAM, "run", "toy", "--method", method, "--seed", str(seed)]
    command += ["--set", "batch=64", "--set", "samples=128", "--out", folder, *limits]
    subprocess.run(command, check=True, capture_output=True)
    own = folder / method
    lines = (own / "metrics.csv").read_text().splitlines()
    columns = lines[0].split(",")
    rows = np.array([[float(word) for word in line.split(",")] for line in lines[1:]])
    losses = rows[:, [columns.index("train_loss"), columns.index("test_loss")]]
    problem = hig.systems.Toy(samples=128).problem(seed)
    return problem.load_weights(own / "weights.safetensors"), losses


@pytest.mark.parametrize("budget", BUDGETS, ids=str)
@pytest.mark.parametrize("method", METHODS)
def test_a_training_is_the_run_with_the_same_options(tmp_path, method, budget):
    weights, losses = run(tmp_path / "run", method, budget, seed=5)
    result = hig.train(hig.systems.Toy(samples=128), method, seed=5, batch=64, **budget)
    np.testing.assert_array_equal(result.weights.view(np.uint64), weights.view(np.uint64))
    told = np.stack([result.history.train_loss, result.history.test_loss], axis=1)
    np.testing.assert_array_equal(told, losses)
