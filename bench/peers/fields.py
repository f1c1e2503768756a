"""A damped Gauss-Newton update of a field that obeys an equation, here and in JAX: `run.py --fields`.

The problem is -Δu = f in a box, u given on its boundary, with the points, weights and first parameters that the library
exports. Of the ways in JAX, each a Laplacian with each way to a damped step, the fastest of those that agree with
NumPy stands for it.
"""

import sys
import time
from pathlib import Path

import jax

jax.config.update("jax_enable_x64", True)

import jax.numpy as jnp
import numpy as np
from jax.experimental.jet import jet
from jax.flatten_util import ravel_pytree
from safetensors.numpy import load_file

from processes import Failed, Process

# Systems with their settings, how many times faster than JAX an update is meant to be, dampings in units of the
# largest eigenvalue.
FIVE = ["dimension=5", "solution=cosines", "samples=3500", "boundary=0.142857", "batch=3500"]
CASES = {
    "Poisson 2-d": ([], 5),
    "Poisson 5-d": (FIVE, 5),
    "Poisson 2-d, 64-64-48-48": (["hidden=64,64,48,48"], 4),
}
DAMPING = 1e-6
AGREE = 1e-6


def field(parameters, x):
    for weight, bias in parameters[:-1]:
        x = jnp.tanh(weight @ x + bias)
    weight, bias = parameters[-1]
    return (weight @ x + bias)[0]


def forward_laplacian(parameters, x):
    """Value, gradient and Laplacian carried through the layers (arXiv 2307.08214)."""
    slopes, bend = jnp.eye(len(x)), jnp.zeros_like(x)
    for i, (weight, bias) in enumerate(parameters):
        x, slopes, bend = weight @ x + bias, slopes @ weight.T, weight @ bend
        if i + 1 < len(parameters):
            x = jnp.tanh(x)
            first = 1 - x * x
            bend = first * bend - 2 * x * first * (slopes * slopes).sum(0)
            slopes = first * slopes
    return bend[0]


def forward_over_forward(parameters, x):
    u = lambda x: field(parameters, x)
    along = lambda d: jax.jvp(lambda x: jax.jvp(u, (x,), (d,))[1], (x,), (d,))[1]
    return jax.vmap(along)(jnp.eye(len(x))).sum()


def by_jets(parameters, x):
    u = lambda x: field(parameters, x)
    along = lambda d: jet(u, (x,), ((d, jnp.zeros_like(d)),))[1][1]
    return jax.vmap(along)(jnp.eye(len(x))).sum()


def by_hessian(parameters, x):
    return jnp.trace(jax.hessian(field, argnums=1)(parameters, x))


LAPLACIANS = {
    "forward Laplacian by hand": forward_laplacian,
    "forward over forward": forward_over_forward,
    "jet": by_jets,
    "hessian": by_hessian,
}


def by_eigh(a, right, damping):
    values, vectors = jnp.linalg.eigh(a)
    return vectors @ ((vectors.T @ right) / (values + damping))


def by_cholesky(a, right, damping):
    factor = jax.scipy.linalg.cho_factor(a + damping * jnp.eye(len(a)))
    return jax.scipy.linalg.cho_solve(factor, right)


SOLVERS = {"eigh": by_eigh, "Cholesky": by_cholesky}


class InJax:
    """One problem; residuals are whitened, so that the curvature of the loss is 1."""

    def __init__(self, told, layers):
        self.parameters = [
            (jnp.asarray(told[f"layers.{i}.weight"]), jnp.asarray(told[f"layers.{i}.bias"]))
            for i in range(layers)
        ]
        self.flat, self.unflatten = ravel_pytree(self.parameters)
        block = told["block"][:, 0]
        self.parts = [np.flatnonzero(block == k) for k in range(2)]
        of = lambda name: [jnp.asarray(told[name][part]) for part in self.parts]
        self.points, self.target = of("points"), [t[:, 0] for t in of("target")]
        self.roots = [jnp.sqrt(c[:, 0]) for c in of("curvature")]
        self.y = [y[:, 0] for y in of("y")]

    def outputs(self, laplacian, flat):
        """What the equation says inside and on the boundary, point by point."""
        inside = lambda flat, x: -laplacian(self.unflatten(flat), x)
        given = lambda flat, x: field(self.unflatten(flat), x)
        return [(inside, self.points[0]), (given, self.points[1])]

    def rows(self, laplacian, flat):
        """Whitened residuals (n) and their rows (n × p)."""
        residuals, rows = [], []
        parts = zip(self.outputs(laplacian, flat), self.target, self.roots)
        for (of, points), target, roots in parts:
            both = jax.vmap(jax.value_and_grad(of), in_axes=(None, 0))
            y, jacobian = both(flat, points)
            residuals.append(roots * (y - target))
            rows.append(roots[:, None] * jacobian)
        return jnp.concatenate(residuals), jnp.concatenate(rows)

    def update(self, laplacian, solver, damping):
        def update(flat):
            r, a = self.rows(laplacian, flat)
            if a.shape[0] < a.shape[1]:
                return flat - a.T @ solver(a @ a.T, r, damping)
            return flat - solver(a.T @ a, a.T @ r, damping)

        return jax.jit(update)

    def check(self):
        """The largest difference to the library's y."""
        worst = 0.0
        for (of, points), y in zip(self.outputs(forward_laplacian, self.flat), self.y):
            found = jax.vmap(of, in_axes=(None, 0))(self.flat, points)
            worst = max(worst, float(jnp.abs(found - y).max() / jnp.maximum(1, jnp.abs(y).max())))
        return worst

    def referee(self, damping):
        """The step by NumPy's SVD of the dense rows."""
        r, a = map(np.asarray, jax.jit(lambda flat: self.rows(by_hessian, flat))(self.flat))
        u, sigma, vt = np.linalg.svd(a, full_matrices=False)
        return -vt.T @ (sigma / (sigma**2 + damping) * (u.T @ r)), a.shape


def timed(work, count):
    times = []
    for _ in range(count):
        clock = time.perf_counter()
        work()
        times.append(1e3 * (time.perf_counter() - clock))
    return float(np.median(times))


def relative(step, exact):
    return float(np.linalg.norm(step - exact) / np.linalg.norm(exact))


def measure(peer, name, rounds, folder, say):
    settings, goal = CASES[name]
    ours = Process([peer, "poisson-pinn", *settings], 1)
    file = folder / "field.safetensors"
    ours.line(f"export {file}")
    told = load_file(file)
    layers = sum(key.endswith(".weight") for key in told)
    problem, damping = InJax(told, layers), DAMPING * float(told["top"][0])
    error = problem.check()
    if not error < 1e-9:
        raise Failed(f"{name}: the JAX problem is not the library's: y differs by {error:.0e}")
    exact, (n, p) = problem.referee(damping)
    say(f"{name}: n = {n}, p = {p}")

    def our_error(way):
        ours.line(f"step {way} {damping!r} {file}")
        return relative(load_file(file)["delta"], exact)

    rows = []
    for label, solver in SOLVERS.items():
        way = {"eigh": "spectral", "Cholesky": "cholesky"}[label]
        best = None
        for kind, laplacian in LAPLACIANS.items():
            update = problem.update(laplacian, solver, damping)
            work = lambda: jax.block_until_ready(update(problem.flat))
            step = np.asarray(update(problem.flat) - problem.flat)
            found = relative(step, exact)
            ms = timed(work, 3)
            say(f"  JAX, {kind}, {label}: {ms:.3g} ms, error {found:.0e}")
            if found < AGREE and (best is None or ms < best[0]):
                best = ms, kind, work, found
        if best is None:
            raise Failed(f"{name}: no way in JAX is within {AGREE} of the referee")
        _, kind, work, found = best
        mine, theirs = [], []
        for _ in range(rounds):
            # The first call after a pause is slower.
            answer = ours.line(f"update {way} {damping!r} 6").split()[1:]
            mine.append(float(np.median([float(ms) for ms in answer])))
            theirs.append(timed(work, 6))
        ratios = [b / a for a, b in zip(mine, theirs)]
        rows.append((name, n, p, label, kind, mine, theirs, ratios, goal, our_error(way), found))
        say(f"  {label}: here {np.median(mine):.3g} ms, {np.median(ratios):.1f} times")
    ours.close()
    return rows


def table(rows):
    spread = lambda v, f="%.3g": f"{f % np.median(v)} ({f % min(v)}–{f % max(v)})"
    yield "| problem, n × p | solved by | JAX's Laplacian | here, ms | JAX, ms | times | goal | error here, JAX |"
    yield "| --- | --- | --- | --- | --- | --- | --- | --- |"
    for name, n, p, label, kind, mine, theirs, ratios, goal, here, there in rows:
        met = "" if np.median(ratios) >= goal else ", missed"
        cells = [f"{name}, {n} × {p}", label, kind, spread(mine), spread(theirs)]
        cells += [spread(ratios, "%.1f"), f"{goal}{met}", f"{here:.0e}, {there:.0e}"]
        yield "| " + " | ".join(cells) + " |"


def main():
    peer, folder = sys.argv[1], Path(__file__).resolve().parent / ".work"
    rounds = int(sys.argv[2]) if len(sys.argv) > 2 else 7
    chosen = sys.argv[3:] or list(CASES)
    folder.mkdir(exist_ok=True)
    say = lambda *words: print(*words, flush=True)
    rows = []
    try:
        for name in chosen:
            rows += measure(peer, name, rounds, folder, say)
    except Failed as failure:
        sys.exit(f"fields.py: {failure}")
    say("\n" + "\n".join(table(rows)))


if __name__ == "__main__":
    main()
