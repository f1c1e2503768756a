"""What an update of `hig.jax.half_inverse` inside of `jax.jit` costs, beside the library's own and the best JAX.

    python bench/python/jax_updates.py [--quick] [--threads 2] [--processor]

Networks and simulators are those of `bench/peers`, with the weights, the first batch and the settings by which
half-inverse gradients are compared. All take their turns in one process; of the rounds the median is told. The
goal for an update is 1.3 times that of the library with the time that the simulator takes in JAX: its outputs
and the rows of their derivative, by the fastest of the ways that were tried. `--processor` measures the time of
the processor in place of the clock's, for machines that others use as well; with one thread.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "bench" / "peers"))
SYSTEMS = {
    "nonlinear-oscillators": "NonlinearOscillators",
    "poisson": "Poisson",
}


class Compared:
    """One system, its update by the library, by `hig.jax` and by every way of the peers."""

    def __init__(self, name: str) -> None:
        import jax
        import jax.numpy as jnp
        import numpy as np
        import systems
        import ways

        import hig.jax

        self.system = getattr(hig.systems, SYSTEMS[name])()
        self.method, training = self.system.method("hig"), self.system.training("hig")
        given = self.system.problem(0)
        self.weights = given.initial_weights(0)
        self.batch = int(training.batch)
        arrays = list(given.parameters(self.weights).values())
        layers = list(zip(arrays[::2], arrays[1::2]))
        tensors = {f"layers.{i}.weight": w for i, (w, _) in enumerate(layers)}
        tensors |= {f"layers.{i}.bias": b for i, (_, b) in enumerate(layers)}
        tensors |= {"train.input": given.train.input, "train.target": given.train.target}
        settings = {
            field: getattr(self.system, field) for field in self.system.__dataclass_fields__
        }
        method = {
            "learning_rate": float(self.method.learning_rate),
            "exponent": self.method.exponent,
            "cutoff": self.method.cutoff,
        }
        outputs = given.train.target.shape[1]
        described = {
            "system": {**settings, "activation": str(settings["activation"])},
            "batch": self.batch,
            "outputs": outputs,
            "parameters": len(self.weights),
            "summed": name == "poisson",
            "method": method,
        }
        self.problem = problem = systems.Problem(name, described, tensors)
        x, target = map(jnp.asarray, problem.first_batch())
        parameters = jax.tree.map(jnp.asarray, problem.parameters)

        def predict(parameters, batch):
            control = systems.network(problem.activation, parameters, batch["x"])
            return jax.vmap(problem.physics.simulate)(batch["x"], control)

        def loss(y, batch):
            return problem.batch_loss(y, batch["target"])

        optimizer = hig.jax.half_inverse(
            predict, loss, method["learning_rate"], method["exponent"], method["cutoff"]
        )

        def update(parameters, batch):
            changes, _ = optimizer.update(None, optimizer.init(parameters), parameters, batch=batch)
            return jax.tree.map(lambda p, d: p + d, parameters, changes)

        def rows(parameters, x):
            control = systems.network(problem.activation, parameters, x)
            return problem.physics.rows(x, control)

        def timed(function, *given):
            compiled = jax.jit(function)
            jax.block_until_ready(compiled(*given))
            return lambda: jax.block_until_ready(compiled(*given))

        pairs = {"hig.jax": timed(update, parameters, {"x": x, "target": target})}
        pairs["simulator"] = timed(rows, parameters, x)
        expected = jax.tree.leaves(pairs["hig.jax"]())
        for way in ("K of layer factors, eigh", "K = J J^T, eigh"):
            pairs[way] = timed(ways.BEST[way](problem), parameters, x, target)
            found = jax.tree.leaves(pairs[way]())
            for a, b, start in zip(found, expected, jax.tree.leaves(parameters)):
                moved = np.linalg.norm(b - start)
                assert np.linalg.norm(a - b) < 1e-3 * moved, f"{name}: {way} makes another step"
        self.ways, self.n = pairs, self.batch * outputs

    def library(self, updates: int, clock) -> float:
        """Seconds of an update: those of many without those of few, which have the same evaluations."""
        import hig

        def train(count: int) -> float:
            training = {"batch": self.batch, "order": "fixed", "evaluate_every": 10 * updates}
            started = clock()
            hig.train(self.system, self.method, updates=count, **training)
            return clock() - started

        return (train(updates + 2) - train(2)) / updates

    def round(self, updates: int, clock) -> dict[str, float]:
        """Milliseconds of an update by each."""
        told = {"library": 1e3 * self.library(updates, clock)}
        for name, work in self.ways.items():
            times = []
            for _ in range(updates):
                started = clock()
                work()
                times.append(1e3 * (clock() - started))
            told[name] = statistics.median(times)
        return told


def main() -> None:
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--quick", action="store_true", help="fewer rounds")
    asked.add_argument("--systems", nargs="+", choices=list(SYSTEMS), default=list(SYSTEMS))
    asked.add_argument("--threads", type=int, default=2)
    asked.add_argument("--processor", action="store_true", help="time of the processor, one thread")
    arguments = asked.parse_args()
    if arguments.processor:
        arguments.threads = 1
    clock = time.process_time if arguments.processor else time.perf_counter
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    os.environ["RAYON_NUM_THREADS"] = str(arguments.threads)
    os.environ["JAX_PLATFORMS"] = "cpu"
    import jax

    jax.config.update("jax_enable_x64", True)
    rounds, updates = (3, 10) if arguments.quick else (9, 30)
    names = ["library", "simulator", "hig.jax", "best JAX", "hig.jax / goal", "best JAX / hig.jax"]
    print(f"milliseconds of an update, {arguments.threads} cores")
    print(f"{'system':>22} {'n':>5} {'p':>6} " + " ".join(f"{name:>18}" for name in names))
    for name in arguments.systems:
        compared = Compared(name)
        told = [compared.round(updates, clock) for _ in range(rounds)]
        middle = {way: statistics.median(r[way] for r in told) for way in told[0]}
        peers = [way for way in middle if way not in names]
        best = min(middle[way] for way in peers)
        goal = 1.3 * (middle["library"] + middle["simulator"])
        numbers = [middle["library"], middle["simulator"], middle["hig.jax"], best]
        cells = [f"{number:18.3f}" for number in numbers]
        cells += [f"{middle['hig.jax'] / goal:18.2f}", f"{best / middle['hig.jax']:18.2f}"]
        print(
            f"{name:>22} {compared.n:5d} {len(compared.weights):6d} " + " ".join(cells), flush=True
        )


if __name__ == "__main__":
    main()
