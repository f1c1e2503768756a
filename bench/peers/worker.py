"""One system in one precision, in JAX: `worker.py NAME 64|32 FOLDER`, asked in lines of JSON."""

import json
import sys
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", sys.argv[2] == "64")

import jax.numpy as jnp
import numpy as np
from jax.flatten_util import ravel_pytree
from safetensors.numpy import load_file

import packages
import ways
from systems import Problem


class Worker:
    def __init__(self, name, precision, folder):
        described = json.loads((folder / f"{name}.json").read_text())
        self.exported = load_file(folder / f"{name}.safetensors")
        dtype = np.float64 if precision == "64" else np.float32
        tensors = {key: value.astype(dtype) for key, value in self.exported.items()}
        self.problem = Problem(name, described, tensors)
        self.parameters = jax.tree.map(jnp.asarray, self.problem.parameters)
        self.start = (self.parameters, *map(jnp.asarray, self.problem.first_batch()))
        self.ready = {}

    def way(self, name, damping=None):
        if name == "paper":
            return ways.papers(self.problem)
        if name in ways.BEST:
            return ways.BEST[name](self.problem)
        return packages.PACKAGES[name][0](self.problem, damping, self.start)

    def prepare(self, way, damping=None):
        """Compiles; seconds until the first answer."""
        clock = time.perf_counter()
        self.ready[way] = jax.jit(self.way(way, damping))
        jax.block_until_ready(self.ready[way](*self.start))
        return time.perf_counter() - clock

    def time(self, way, count):
        """Milliseconds of each of several updates from the same weights."""
        update, times = self.ready[way], []
        for _ in range(count):
            clock = time.perf_counter()
            jax.block_until_ready(update(*self.start))
            times.append(1e3 * (time.perf_counter() - clock))
        return times

    def step(self, way, file):
        after, before = (
            ravel_pytree(p)[0] for p in (self.ready[way](*self.start), self.parameters)
        )
        np.save(file, np.asarray(after, np.float64) - np.asarray(before, np.float64))

    def check(self):
        """Largest differences to the library's y, g and losses, of both simulators here."""
        problem, (parameters, x, target) = self.problem, self.start
        y = jax.jit(jax.vmap(problem.output, in_axes=(None, 0)))(parameters, x)
        passes = jax.jit(lambda *batch: ways.Passes(problem, *batch).g)(*self.start)
        losses = [
            problem.batch_loss(y, target),
            problem.mean_loss(parameters, problem.input, problem.target),
        ]
        pairs = [(y, "y"), (passes, "g"), (jnp.stack(losses), "loss")]
        scale = lambda ours: max(1.0, float(np.abs(ours).max()))
        return {
            key: float(np.abs(np.asarray(mine) - self.exported[key]).max())
            / scale(self.exported[key])
            for mine, key in pairs
        }

    def referee(self, file, damping):
        """Saves K, and by NumPy's SVD of the dense J in f64 the half-inverse step and the damped
        Gauss-Newton step with `damping` in units of the largest eigenvalue of K."""
        problem, (parameters, x, target) = self.problem, self.start
        derivative = jax.jit(lambda p, x: ways.automatic_jacobian(problem, p, x))
        y, jacobian = map(np.asarray, derivative(parameters, x))
        g = np.asarray(ways.cotangent(problem, y, target))
        u, sigma, vt = np.linalg.svd(jacobian, full_matrices=False)
        method = problem.method
        kept = sigma > method["cutoff"] * sigma[0]
        weight = np.where(kept, np.where(kept, sigma, 1) ** -method["exponent"], 0)
        absolute = damping * float(sigma[0] ** 2)
        np.savez(
            file,
            gram=jacobian @ jacobian.T,
            step=-method["learning_rate"] * (vt.T @ (weight * (u.T @ g))),
            damped=-vt.T @ (sigma / (sigma**2 + absolute) * (u.T @ g)),
        )
        return {
            "damping": absolute,
            "rank": int(kept.sum()),
            "smallest": float(sigma[kept][-1] / sigma[0]),
        }

    def train(self, way, loss, every, most, seconds):
        """Updates on the batches in stored order until the loss of all training samples, seen
        every so many updates, is below `loss`; the time is that of the updates alone."""
        problem, update = self.problem, self.ready[way]
        size, samples = problem.batch, len(problem.input)
        places = [slice(first, first + size) for first in range(0, samples, size)]
        batches = [
            (jnp.asarray(problem.input[p]), jnp.asarray(problem.target[p])) for p in places
        ]
        everything = jnp.asarray(problem.input), jnp.asarray(problem.target)
        evaluate = jax.jit(problem.mean_loss)
        parameters, used, updates = self.parameters, 0.0, 0
        while True:
            reached = float(evaluate(parameters, *everything))
            if not reached > loss or updates >= most or used >= seconds:
                return {"loss": reached, "seconds": used, "updates": updates}
            clock = time.perf_counter()
            for k in range(updates, updates + every):
                parameters = update(parameters, *batches[k % len(batches)])
            jax.block_until_ready(parameters)
            used += time.perf_counter() - clock
            updates += every


def main():
    name, precision, folder = sys.argv[1:]
    worker = Worker(name, precision, Path(folder))
    for line in sys.stdin:
        asked = json.loads(line)
        try:
            answer = {"value": getattr(worker, asked.pop("do"))(**asked)}
        except Exception as error:  # reported, so that one way that fails does not end the run
            answer = {"error": f"{type(error).__name__}: {error}".splitlines()[0][:300]}
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
