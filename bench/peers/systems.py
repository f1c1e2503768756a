"""The networks and simulators of `crates/hig/src/systems`, written again in JAX.

A batch has one sample a row. Parameters are a list of (weight, bias), so that `ravel_pytree` makes
the library's flat vector of them. Every simulator offers

    simulate(state, control)   y of one sample, in the type of the control: what is differentiated
                               automatically
    rows(states, controls)     y of a batch, and the physics rows dy/du (dim(y) x batch x control)
                               by the fastest of the ways that were tried (see README.md)
"""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

ACTIVATIONS = {"tanh": jnp.tanh, "relu": jax.nn.relu}
# The slope of an activation as a function of its value.
SLOPES = {"tanh": lambda v: 1 - v * v, "relu": lambda v: (v > 0).astype(v.dtype)}


def network(activation, parameters, x):
    """Dense layers with an activation between them, for a batch or one sample."""
    for weight, bias in parameters[:-1]:
        x = ACTIVATIONS[activation](x @ weight.T + bias)
    weight, bias = parameters[-1]
    return x @ weight.T + bias


def squared_error(factor):
    return lambda y, target: factor * ((y - target) ** 2).sum(-1)


def infidelity(y, target):
    """1 - |<target|y>|^2, real and imaginary parts interleaved."""
    a, b, c, d = y[..., ::2], y[..., 1::2], target[..., ::2], target[..., 1::2]
    return 1 - (a * c + b * d).sum(-1) ** 2 - (b * c - a * d).sum(-1) ** 2


class Oscillators:
    """A chain of masses, a force on the last one, the classical Runge-Kutta method."""

    def __init__(self, settings):
        self.masses, self.dt, self.control = (settings[k] for k in ("masses", "dt", "control"))
        coupling = settings.get("coupling")
        self.force = (lambda s: s**3) if coupling is None else (lambda s: coupling * s)
        self.loss = squared_error(1.0)

    def rate(self, z, u):
        x, v = z[: self.masses], z[self.masses :]
        pull = self.force(x[1:] - x[:-1])
        a = (-x).at[:-1].add(pull).at[1:].add(-pull).at[-1].add(self.control * u)
        return jnp.concatenate([v, a])

    def step(self, z, u):
        h = self.dt
        k1 = self.rate(z, u)
        k2 = self.rate(z + 0.5 * h * k1, u)
        k3 = self.rate(z + 0.5 * h * k2, u)
        k4 = self.rate(z + h * k3, u)
        return z + h / 6 * (k1 + 2 * (k2 + k3) + k4), None

    def simulate(self, state, control):
        return lax.scan(self.step, state, control)[0]

    def rows(self, states, controls):
        y, pull = jax.vjp(lambda u: jax.vmap(self.simulate)(states, u), controls)
        units = jnp.eye(y.shape[1], dtype=y.dtype)[:, None, :]
        units = jnp.broadcast_to(units, (y.shape[1],) + y.shape)
        return y, jax.vmap(lambda w: pull(w)[0])(units)


class Laplacian:
    """y is the five-point Laplacian of the control on a square grid with zero boundary."""

    def __init__(self, settings):
        grid = settings["grid"]
        line = np.eye(grid, k=1) + np.eye(grid, k=-1) - 2 * np.eye(grid)
        one = np.eye(grid)
        self.matrix = (np.kron(line, one) + np.kron(one, line)) / settings["spacing"] ** 2
        self.loss = squared_error(0.5)

    def simulate(self, _, control):
        return jnp.asarray(self.matrix, control.dtype) @ control

    def rows(self, _, controls):
        matrix = jnp.asarray(self.matrix, controls.dtype)
        rows = jnp.broadcast_to(matrix[:, None, :], (len(matrix),) + controls.shape)
        return controls @ matrix, rows


class Dipole:
    """Crank-Nicolson steps of a driven particle in a well: (1 + iaH)psi' = (1 - iaH)psi, a = dt/2.

    With A = 1 + iaH a step is psi' = 2 phi - psi, phi = A^-1 psi.
    """

    def __init__(self, settings):
        intervals, half_step = settings["points"] - 1, 0.5 * settings["dt"]
        places = np.arange(1, intervals)
        spacing = 2.0 / intervals
        self.inside, self.steps = len(places), settings["steps"]
        self.hopping = half_step / spacing**2
        self.dipole = half_step * spacing * places
        self.start = np.sqrt(2.0 / intervals) * np.sin(np.pi * places / intervals)
        self.loss = infidelity

    def simulate(self, _, control):
        """With LAPACK's tridiagonal solver in every step."""
        complex_type = jnp.result_type(control.dtype, jnp.complex64)
        beside = jnp.full(self.inside, -1j * self.hopping, complex_type)
        dipole = jnp.asarray(self.dipole, control.dtype)

        def step(psi, u):
            diagonal = (1 + 1j * (2 * self.hopping + dipole * u)).astype(complex_type)
            lower, upper = beside.at[0].set(0), beside.at[-1].set(0)
            phi = lax.linalg.tridiagonal_solve(lower, diagonal, upper, psi[:, None])[:, 0]
            return 2 * phi - psi, None

        end = lax.scan(step, jnp.asarray(self.start, complex_type), control)[0]
        return jnp.stack([end.real, end.imag], -1).reshape(-1)

    def pivots(self, u):
        """Reciprocal pivots of A for an array of u, grid points first."""
        pivot = 1 / (1 + 1j * (2 * self.hopping + self.dipole[0] * u))
        pivots = [pivot]
        for dipole in self.dipole[1:]:
            pivot = 1 / (1 + 1j * (2 * self.hopping + dipole * u) + self.hopping**2 * pivot)
            pivots.append(pivot)
        return jnp.stack(pivots)

    @staticmethod
    def solve(factors, v):
        """A^-1 v for any number of v (points x ...), in real arithmetic, which XLA vectorises."""
        pivot, carry = factors  # (re, im) of the reciprocal pivots, and of them times i*hopping

        def forwards(z, here):
            (cr, ci), (vr, vi) = here
            z = (vr + cr * z[0] - ci * z[1], vi + cr * z[1] + ci * z[0])
            return z, z

        def backwards(z, here):
            (pr, pi), (cr, ci), (vr, vi) = here
            z = (
                pr * vr - pi * vi + cr * z[0] - ci * z[1],
                pr * vi + pi * vr + cr * z[1] + ci * z[0],
            )
            return z, z

        none = (jnp.zeros_like(v[0][0]),) * 2
        before = [jnp.concatenate([jnp.zeros_like(c[:1]), c[:-1]]) for c in carry]
        v = lax.scan(forwards, none, (tuple(before), v))[1]
        return lax.scan(backwards, none, (pivot, carry, v), reverse=True)[1]

    def rows(self, _, controls):
        """The discrete adjoint by hand: A is symmetric, all rows share its elimination, and the
        rows of imaginary parts follow from those of real parts."""
        samples, n = len(controls), self.inside
        pivots = jnp.moveaxis(self.pivots(controls.T), 0, 1)  # steps x points x samples
        pivot = (pivots.real, pivots.imag)
        carry = (-self.hopping * pivots.imag, self.hopping * pivots.real)

        def forwards(psi, factors):
            phi = self.solve(factors, psi)
            return (2 * phi[0] - psi[0], 2 * phi[1] - psi[1]), phi

        start = jnp.broadcast_to(jnp.asarray(self.start)[:, None], (n, samples))
        end, phi = lax.scan(forwards, (start, jnp.zeros((n, samples))), (pivot, carry))
        twice = 2 * jnp.asarray(self.dipole)[:, None]

        def backwards(v, here):
            factors, (re, im) = here
            z = self.solve(factors, v)
            re, im = (twice * re)[:, None], (twice * im)[:, None]
            slopes = (re * z[1] + im * z[0]).sum(0), (im * z[1] - re * z[0]).sum(0)
            return (2 * z[0] - v[0], 2 * z[1] - v[1]), slopes

        units = jnp.broadcast_to(jnp.eye(n)[:, :, None], (n, n, samples))
        walk = ((pivot, carry), phi)
        _, slopes = lax.scan(backwards, (units, jnp.zeros_like(units)), walk, reverse=True)
        rows = jnp.stack(slopes, 2).reshape(self.steps, 2 * n, samples)
        return jnp.stack(end, 1).reshape(2 * n, samples).T, jnp.transpose(rows, (1, 2, 0))


SIMULATORS = {
    "linear-oscillators": Oscillators,
    "nonlinear-oscillators": Oscillators,
    "poisson": Laplacian,
    "quantum-dipole": Dipole,
}


class Problem:
    """A system as the library describes and exports it."""

    def __init__(self, name, described, tensors):
        settings = described["system"]
        self.name, self.activation = name, settings["activation"]
        self.physics = SIMULATORS[name](settings)
        self.batch, self.method = described["batch"], described["method"]
        layers = range(len(settings["hidden"]) + 1)
        self.parameters = [
            (tensors[f"layers.{i}.weight"], tensors[f"layers.{i}.bias"]) for i in layers
        ]
        self.input, self.target = tensors["train.input"], tensors["train.target"]
        # The losses of a batch are averaged, or summed.
        self.scale = 1.0 if described["summed"] else 1.0 / self.batch
        self.n, self.p = self.batch * described["outputs"], described["parameters"]

    def first_batch(self):
        return self.input[: self.batch], self.target[: self.batch]

    def output(self, parameters, x):
        """y of one sample, through network and simulator."""
        return self.physics.simulate(x, network(self.activation, parameters, x))

    def batch_loss(self, y, target):
        """What is differentiated: the mean or the sum over the batch."""
        return self.scale * self.physics.loss(y, target).sum()

    def mean_loss(self, parameters, x, target):
        y = jax.vmap(self.output, in_axes=(None, 0))(parameters, x)
        return self.physics.loss(y, target).mean()
