"""What the Python package costs: the step beside NumPy, and a Python simulator beside a built-in one.

    python bench/python/run.py [--quick]

Everything is measured in one process and in turns; of the rounds the median is told. NumPy's SVD is
measured with one thread of its BLAS and with as many as there are cores, and the faster counts for it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

import hig

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "python"))
from oscillators import NumpyOscillators, jax_oscillator

ROWS, COLUMNS, CUTOFF = 512, 2956, 1e-5
UPDATES, BATCH = 1000, 32


def seconds(work, *arguments) -> float:
    started = time.perf_counter()
    work(*arguments)
    return time.perf_counter() - started


def jacobian(condition: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Normal numbers, or singular values evenly spaced on a logarithmic scale."""
    random = np.random.default_rng(0)
    normal = random.normal(size=(ROWS, COLUMNS))
    if condition is not None:
        u, _, vt = np.linalg.svd(normal, full_matrices=False)
        normal = (u * np.geomspace(1.0, 1.0 / condition, ROWS)) @ vt
    return normal, random.normal(size=ROWS)


def reference(j: np.ndarray, g: np.ndarray) -> np.ndarray:
    u, sigma, vt = np.linalg.svd(j, full_matrices=False)
    weights = np.where(sigma > CUTOFF * sigma[0], sigma**-0.5, 0.0)
    return vt.T @ (weights * (u.T @ g))


def ours(j: np.ndarray, g: np.ndarray) -> np.ndarray:
    return hig.spectral_step(j, g, cutoff=CUTOFF)


def steps(rounds: int) -> None:
    print(f"half-inverse step, {ROWS} x {COLUMNS}, cut-off {CUTOFF}")
    print(
        f"{'J':>16} {'NumPy s':>9} {'spectral_step s':>16} {'ratio':>6} {'relative difference':>20}"
    )
    for name, condition in {"normal": None, "condition 1e4": 1e4, "condition 1e6": 1e6}.items():
        j, g = jacobian(condition)
        numpy: dict[int | None, list[float]] = {1: [], None: []}
        own_times = []
        for _ in range(rounds):
            for threads, times in numpy.items():
                with threadpool_limits(threads):
                    times.append(seconds(reference, j, g))
            own_times.append(seconds(ours, j, g))
        best = min(statistics.median(times) for times in numpy.values())
        step, expected = ours(j, g), reference(j, g)
        difference = np.linalg.norm(step - expected) / np.linalg.norm(expected)
        own = statistics.median(own_times)
        print(f"{name:>16} {best:9.4f} {own:16.4f} {best / own:6.1f} {difference:20.1e}")


class Timed:
    """A simulator with a clock."""

    def __init__(self, simulator) -> None:
        self.simulator, self.spent = simulator, 0.0

    def _run(self, method, *arrays):
        started = time.perf_counter()
        answer = np.asarray(method(*arrays))
        self.spent += time.perf_counter() - started
        return answer

    def simulate(self, state, control):
        return self._run(self.simulator.simulate, state, control)

    def jacobian(self, state, control):
        return self._run(self.simulator.jacobian, state, control)


def overhead(rounds: int) -> None:
    system = hig.systems.LinearOscillators(samples=512, test_samples=1)
    given, method = system.problem(0), system.method("hig")
    network = hig.networks.mlp([4, 20, 20, 20, 24])
    training = {"updates": UPDATES, "batch": BATCH, "evaluate_every": 10 * UPDATES}

    def built_in() -> float:
        return hig.train(system, method, **training).seconds / UPDATES

    def own(simulator) -> tuple[float, float]:
        timed = Timed(simulator)
        problem = hig.Problem(network, timed, given.train, given.test)
        # Compiled before it is timed; the evaluations before and after are not of the updates.
        hig.train(problem, method, **{**training, "updates": 2})
        timed.spent, evaluation = 0.0, seconds(problem.loss, given.initial_weights(0))
        timed.spent = 0.0
        result = hig.train(problem, method, **training)
        return result.seconds / UPDATES, (timed.spent - 2 * evaluation) / UPDATES

    print(f"\nlinear oscillators, HIG, batch {BATCH}: milliseconds an update")
    print(f"{'simulator':>10} {'update':>8} {'its own':>8} {'the rest':>9} {'rest / built-in':>16}")
    measured = {
        "NumPy": lambda: own(NumpyOscillators()),
        "JAX": lambda: own(hig.physics.from_jax(jax_oscillator)),
    }
    times = {name: [] for name in measured}
    base = []
    for _ in range(rounds):
        base.append(built_in())
        for name, run in measured.items():
            times[name].append(run())
    rust = statistics.median(base)
    print(f"{'Rust':>10} {1e3 * rust:8.3f}")
    for name, runs in times.items():
        update, spent = (statistics.median(run[i] for run in runs) for i in (0, 1))
        rest = update - spent
        print(
            f"{name:>10} {1e3 * update:8.3f} {1e3 * spent:8.3f} {1e3 * rest:9.3f} {rest / rust:16.2f}"
        )


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="fewer rounds")
    rounds = 3 if arguments.parse_args().quick else 9
    with threadpool_limits(1):
        overhead(rounds)
    steps(rounds)


if __name__ == "__main__":
    main()
