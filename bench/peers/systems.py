"""The networks and simulators of `crates/hig/src/systems`, written again in JAX.

A batch has one sample a row. Parameters are a list of (weight, bias), so that `ravel_pytree`
gives the flat vector that the library has. Every simulator offers

    simulate(state, control)   one sample's y, for automatic derivatives
    rows(states, controls)     the physics rows dy/du of a batch (dim(y) x batch x control), as
                               fast as JAX could be made to compute them
"""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax


def network(activation):
    """Dense layers with `activation` between them, for a batch or one sample."""
    act = {"tanh": jnp.tanh, "relu": jax.nn.relu}[activation]

    def forward(parameters, x):
        for weight, bias in parameters[:-1]:
            x = act(x @ weight.T + bias)
        weight, bias = parameters[-1]
        return x @ weight.T + bias

    return forward


class Oscillators:
    """A chain of masses, a force on the last one, the classical Runge-Kutta method."""

    def __init__(self, settings, unroll=8):
        self.masses, self.dt = settings["masses"], settings["dt"]
        self.control, self.unroll = settings["control"], unroll
        coupling = settings.get("coupling")
        self.force = (lambda s: coupling * s) if coupling is not None else (lambda s: s * s * s)

    def rate(self, z, u):
        x, v = z[: self.masses], z[self.masses :]
        pull = self.force(x[1:] - x[:-1])
        a = -x
        a = a.at[:-1].add(pull).at[1:].add(-pull).at[-1].add(self.control * u)
        return jnp.concatenate([v, a])

    def step(self, z, u):
        h = self.dt
        k1 = self.rate(z, u)
        k2 = self.rate(z + 0.5 * h * k1, u)
        k3 = self.rate(z + 0.5 * h * k2, u)
        k4 = self.rate(z + h * k3, u)
        return z + h / 6 * (k1 + 2 * (k2 + k3) + k4)

    def simulate(self, state, control):
        walk = lambda z, u: (self.step(z, u), None)
        return lax.scan(walk, state, control, unroll=self.unroll)[0]

    def simulate_batch(self, states, controls):
        return jax.vmap(self.simulate)(states, controls)

    def rows_by_vjp(self, states, controls):
        y, pull = jax.vjp(lambda u: self.simulate_batch(states, u), controls)
        units = jnp.broadcast_to(jnp.eye(y.shape[1])[:, None, :], (y.shape[1],) + y.shape)
        return y, jax.vmap(lambda w: pull(w.astype(y.dtype))[0])(units)

    def rows_by_steps(self, states, controls):
        """The derivatives of all steps at once, then their products backwards in time."""
        width = states.shape[1]
        step = jax.vmap(self.step, in_axes=(1, 0), out_axes=1)  # samples last: they are the lanes
        walk = lambda z, u: (step(z, u), z)
        end, before = lax.scan(walk, states.T, controls.T, unroll=self.unroll)

        def tangents(z, u):  # of one step: width x samples, samples
            units = jnp.eye(width + 1, dtype=z.dtype)
            push = lambda t: jax.jvp(
                step,
                (z, u),
                (jnp.broadcast_to(t[:width, None], z.shape), jnp.broadcast_to(t[width], u.shape)),
            )[1]
            return jax.vmap(push)(units)  # tangent x width x samples

        local = jax.vmap(tangents)(before, controls.T)  # steps x (width + 1) x width x samples

        def back(v, part):  # v: rows x width x samples
            moved = (v[:, None] * part[None]).sum(2)  # rows x (width + 1) x samples
            return moved[:, :width], moved[:, width]

        unit = jnp.broadcast_to(jnp.eye(width, dtype=end.dtype)[..., None], (width, width, states.shape[0]))
        _, slopes = lax.scan(back, unit, local, reverse=True, unroll=self.unroll)
        return end.T, jnp.transpose(slopes, (1, 2, 0))
