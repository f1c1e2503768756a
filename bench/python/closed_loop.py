"""What an update of half-inverse gradients costs with the network in the loop: the library's cart-pole, its step in
NumPy and in JAX under `hig.ClosedLoop`, the whole of it in JAX under `hig.jax.objective`, and in JAX alone.

    python bench/python/closed_loop.py [--quick] [--processor]

JAX alone is J by `jax.jacrev` through `lax.scan` (and by `vmap` over samples, whichever is faster), K = J·Jᵀ,
`jnp.linalg.eigh` and the direction, all in one compiled function. Everything is measured in one process and in turns,
as the difference of a longer and a shorter training over that of their updates; of the rounds the median is told.
All take the same steps: the weights are compared. With --processor the time is that of the processor on all threads,
for machines that others use as well.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

import hig
import hig.jax

sys.path.insert(0, str(Path(__file__).parents[2] / "examples" / "python"))
from cart_pole import CartPole, Top, jax_cart_pole

jax.config.update("jax_enable_x64", True)

STEPS, BATCH, CUTOFF, RATE = 100, 32, 1e-4, 0.3
METHOD = hig.methods.HalfInverse(cutoff=CUTOFF, learning_rate=RATE)
SYSTEM = hig.systems.CartPole(steps=STEPS)
GIVEN = SYSTEM.problem(0)
START = GIVEN.initial_weights(0)
SHAPES = list(GIVEN.shapes.values())


def layers(weights):
    ends = np.cumsum([int(np.prod(shape)) for shape in SHAPES])[:-1]
    arrays = [part.reshape(shape) for part, shape in zip(jnp.split(weights, ends), SHAPES)]
    return list(zip(arrays[::2], arrays[1::2]))


def answer(parameters, x):
    for weight, bias in parameters[:-1]:
        x = jnp.tanh(x @ weight.T + bias)
    weight, bias = parameters[-1]
    return x @ weight.T + bias


def chord(parameters, state):
    """y of one sample: the whole simulation."""

    def step(x, _):
        return jax_cart_pole(x, answer(parameters, x)), None

    final, _ = jax.lax.scan(step, state, length=STEPS)
    return 2.0 * jnp.sin(0.5 * final[2:3])


def alone(by_sample):
    """An update in JAX."""

    def outputs(weights, states):
        return jax.vmap(chord, in_axes=(None, 0))(layers(weights), states)[:, 0]

    def jacobian(weights, states):
        if by_sample:
            one = jax.grad(lambda w, x: chord(layers(w), x)[0])
            return jax.vmap(one, in_axes=(None, 0))(weights, states)
        return jax.jacrev(outputs)(weights, states)

    @jax.jit
    def update(weights, states):
        y, J = outputs(weights, states), jacobian(weights, states)
        values, vectors = jnp.linalg.eigh(J @ J.T)
        sigma = jnp.sqrt(jnp.maximum(values, 0.0))
        kept = sigma > CUTOFF * sigma[-1]
        scale = jnp.where(kept, jnp.where(kept, sigma, 1.0) ** -1.5, 0.0)
        g = y / len(states)  # of the mean of y²/2
        return weights - RATE * (J.T @ (vectors @ (scale * (vectors.T @ g))))

    return update


def problems():
    given = GIVEN.train, GIVEN.test
    network, half = hig.networks.mlp([4, 100, 100, 1]), hig.losses.SquaredError(0.5)

    def loop(step, observe):
        return hig.ClosedLoop(network, step, *given, half, steps=STEPS, observe=observe)

    top = hig.physics.from_jax(lambda start, x: 2.0 * jnp.sin(0.5 * x[2:3]))
    start = [np.asarray(part) for pair in layers(START) for part in pair]

    def predict(parameters, batch):
        pairs = list(zip(parameters[::2], parameters[1::2]))
        return jax.vmap(chord, in_axes=(None, 0))(pairs, batch)

    def loss(y, batch):
        return 0.5 * jnp.mean(jnp.sum(y**2, axis=1))

    whole = hig.jax.objective(predict, loss, start, given[0].state, given[1].state)
    return {
        "built in": SYSTEM,
        "step in NumPy": loop(CartPole(), Top()),
        "step in JAX": loop(hig.physics.step_from_jax(jax_cart_pole), top),
        "all in JAX, hig.jax.objective": whole,
    }


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help="fewer rounds and updates")
    arguments.add_argument("--processor", action="store_true", help="time of the processor")
    given = arguments.parse_args()
    rounds, updates = (3, 20) if given.quick else (7, 60)
    clock = time.process_time if given.processor else time.perf_counter
    training = {"batch": BATCH, "order": "fixed", "evaluate_every": 10**6, "returned": "last"}

    def of_library(problem):
        def run(count):
            return hig.train(problem, METHOD, weights=START, updates=count, **training).weights

        return run

    def in_jax(update):
        states = jnp.asarray(GIVEN.train.state)
        batches = [states[first : first + BATCH] for first in range(0, len(states), BATCH)]

        def run(count):
            weights = jnp.asarray(START)
            for k in range(count):
                weights = update(weights, batches[k % len(batches)])
            return np.asarray(weights)

        return run

    def seconds(run, count):
        started = clock()
        run(count)
        return clock() - started

    runs = {name: of_library(problem) for name, problem in problems().items()}
    runs["JAX alone, jacrev"] = in_jax(alone(False))
    runs["JAX alone, vmap"] = in_jax(alone(True))
    # Compiled before it is timed, and compared.
    ended = {name: run(3) for name, run in runs.items()}
    far = {name: np.abs(w - ended["built in"]).max() for name, w in ended.items()}
    times = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            more = seconds(run, 2 + updates) - seconds(run, 2)
            times[name].append(more / updates)
    medians = {name: 1e3 * statistics.median(all_) for name, all_ in times.items()}
    best = min(medians["JAX alone, jacrev"], medians["JAX alone, vmap"])
    kind = " of processor time" if given.processor else ""
    print(f"cart-pole, {STEPS} steps, HIG, batch {BATCH}, {len(START)} weights: an update{kind}")
    print(f"{'':>30} {'ms':>8} {'JAX alone / it':>15} {'weights differ by':>18}")
    for name, ms in medians.items():
        print(f"{name:>30} {ms:8.2f} {best / ms:15.2f} {far[name]:18.1e}")


if __name__ == "__main__":
    main()
