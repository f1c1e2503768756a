"""Four systems of the library, written again in JAX as one function from parameters to outputs."""

from __future__ import annotations

import functools

import numpy as np

import hig


def parameters_of(problem, weights):
    """Weights and biases of dense layers, one dictionary a layer."""
    arrays = list(problem.parameters(weights).values())
    return [{"weight": w, "bias": b} for w, b in zip(arrays[::2], arrays[1::2])]


def network(parameters, x, activation):
    for layer in parameters[:-1]:
        x = activation(x @ layer["weight"].T + layer["bias"])
    return x @ parameters[-1]["weight"].T + parameters[-1]["bias"]


def chain(jnp, lax, masses, dt, control, force):
    """Runge-Kutta steps of a chain of masses under a force on the last one."""

    def rate(z, u):
        x, v = z[:, :masses], z[:, masses:]
        pull = force(x[:, 1:] - x[:, :-1])
        a = (-x).at[:, :-1].add(pull).at[:, 1:].add(-pull).at[:, -1].add(control * u)
        return jnp.concatenate([v, a], axis=1)

    def step(z, u):
        k1 = rate(z, u)
        k2 = rate(z + 0.5 * dt * k1, u)
        k3 = rate(z + 0.5 * dt * k2, u)
        k4 = rate(z + dt * k3, u)
        return z + dt / 6 * (k1 + 2 * (k2 + k3) + k4), None

    return lambda state, force_over_time: lax.scan(step, state, force_over_time.T)[0]


def laplacian(grid, spacing):
    line = np.eye(grid, k=1) + np.eye(grid, k=-1) - 2 * np.eye(grid)
    return (np.kron(line, np.eye(grid)) + np.kron(np.eye(grid), line)) / spacing**2


def systems(jax):
    """System, simulator (batch, control) → y, activation, and factor and reduction of the squared error."""
    jnp, lax = jax.numpy, jax.lax
    few = {"samples": 96, "test_samples": 40}
    linear = hig.systems.LinearOscillators(**few)
    cubic = hig.systems.NonlinearOscillators(steps=24, **few)
    toy = hig.systems.Toy(lambda_=0.1, **few)
    poisson = hig.systems.Poisson(grid=4, hidden=(20, 20), **few)
    spring = chain(jnp, lax, 2, linear.dt, linear.control, lambda s: linear.coupling * s)
    cube = chain(jnp, lax, 2, cubic.dt, cubic.control, lambda s: s**3)
    matrix = laplacian(4, poisson.spacing)
    return {
        "linear": (linear, lambda b, u: spring(b["state"], u), jnp.tanh, 1.0, jnp.mean),
        "nonlinear": (cubic, lambda b, u: cube(b["state"], u), jax.nn.relu, 1.0, jnp.mean),
        "toy": (toy, lambda b, u: u * jnp.array([1.0, 0.1]), jnp.tanh, 0.5, jnp.mean),
        "poisson": (poisson, lambda b, u: u @ matrix, jnp.tanh, 0.5, jnp.sum),
    }


@functools.cache
def written_again(name):
    """A system, and the same as an objective."""
    import jax

    system, simulate, activation, factor, reduce = systems(jax)[name]
    problem = system.problem(0)

    def predict(parameters, batch):
        return simulate(batch, network(parameters, batch["input"], activation))

    def loss(y, batch):
        return factor * reduce(jax.numpy.sum((y - batch["target"]) ** 2, axis=1))

    def samples(data):
        return {"input": data.input, "state": data.state, "target": data.target}

    parameters = parameters_of(problem, problem.initial_weights(0))
    objective = hig.jax.objective(
        predict, loss, parameters, samples(problem.train), samples(problem.test)
    )
    return system, objective
