"""Time steps of the library's systems, written again in NumPy, JAX and PyTorch."""

from __future__ import annotations

import numpy as np


class Pendulum:
    """A Runge-Kutta step of `hig.systems.PendulumSwingUp`, with its derivatives by hand."""

    def __init__(self, dt=0.05, mass=1.0, length=1.0, gravity=10.0, friction=0.0, torque=2.0):
        self.dt, self.torque = dt, torque
        self.lift, self.ease = 1.5 * gravity / length, 3.0 / (mass * length**2)
        self.friction = friction
        self.calls = {"step": 0, "vjp": 0, "vjps": 0, "jacobian": 0, "jvp": 0}
        self.rows = []

    def _rate(self, x, u):
        torque = self.torque * np.tanh(u[:, 0]) - self.friction * x[:, 1]
        return np.stack([x[:, 1], self.lift * np.sin(x[:, 0]) + self.ease * torque], axis=1)

    def _rate_jvp(self, x, u, dx, du):
        drive = self.torque * (1.0 - np.tanh(u[:, 0]) ** 2) * du[:, 0] - self.friction * dx[:, 1]
        turn = self.lift * np.cos(x[:, 0]) * dx[:, 0] + self.ease * drive
        return np.stack([dx[:, 1], turn], axis=1)

    def _stages(self, x, u):
        h = self.dt
        k1 = self._rate(x, u)
        k2 = self._rate(x + 0.5 * h * k1, u)
        k3 = self._rate(x + 0.5 * h * k2, u)
        return k1, k2, k3, self._rate(x + h * k3, u)

    def step(self, state, control):
        self.calls["step"] += 1
        k1, k2, k3, k4 = self._stages(state, control)
        return state + self.dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)

    def _jvp(self, x, u, dx, du):
        h = self.dt
        k1, k2, k3, _ = self._stages(x, u)
        d1 = self._rate_jvp(x, u, dx, du)
        d2 = self._rate_jvp(x + 0.5 * h * k1, u, dx + 0.5 * h * d1, du)
        d3 = self._rate_jvp(x + 0.5 * h * k2, u, dx + 0.5 * h * d2, du)
        d4 = self._rate_jvp(x + h * k3, u, dx + h * d3, du)
        return dx + h / 6.0 * (d1 + 2.0 * d2 + 2.0 * d3 + d4)

    def _jacobian(self, state, control):
        d, c = state.shape[1], control.shape[1]
        columns = []
        for j in range(d + c):
            unit = np.broadcast_to(np.eye(d + c)[j], (len(state), d + c))
            columns.append(self._jvp(state, control, unit[:, :d], unit[:, d:]))
        both = np.stack(columns, axis=2)
        return both[:, :, :d], both[:, :, d:]

    def _vjp(self, state, control, cotangent):
        of_state, of_control = self._jacobian(state, control)
        return (
            np.einsum("sij,si->sj", of_state, cotangent),
            np.einsum("sij,si->sj", of_control, cotangent),
        )


def offering(*kinds, of=Pendulum):
    """The step with some kinds of derivatives alone."""

    def counted(kind):
        def call(self, state, *more):
            self.calls[kind] += 1
            self.rows.append(len(state))
            return getattr(self, f"_{kind}")(state, *more)

        return call

    return type(of.__name__, (of,), {kind: counted(kind) for kind in kinds})


class Direction:
    """What `hig.systems.PendulumSwingUp` shows its network."""

    def __init__(self, speed=15.0**0.5):
        self.speed = speed

    def simulate(self, place, x):
        return np.stack([np.cos(x[:, 0]), np.sin(x[:, 0]), x[:, 1] / self.speed], axis=1)

    def jacobian(self, place, x):
        rows = np.zeros((len(x), 3, 2))
        rows[:, 0, 0], rows[:, 1, 0], rows[:, 2, 1] = (
            -np.sin(x[:, 0]),
            np.cos(x[:, 0]),
            1 / self.speed,
        )
        return rows


class Upright:
    """What it judges: the chord to the top, and the angular velocity."""

    def __init__(self, speed=15.0**0.5):
        self.speed = speed

    def simulate(self, start, x):
        return np.stack([2.0 * np.sin(0.5 * x[:, 0]), x[:, 1] / self.speed], axis=1)

    def vjp(self, start, x, cotangent):
        return np.stack(
            [np.cos(0.5 * x[:, 0]) * cotangent[:, 0], cotangent[:, 1] / self.speed], axis=1
        )


def pendulum_in(namespace, stack, dt=0.05):
    """The same step of one sample in JAX or PyTorch."""

    def rate(x, u):
        return stack([x[1], 15.0 * namespace.sin(x[0]) + 3.0 * 2.0 * namespace.tanh(u[0])])

    def step(x, u):
        k1 = rate(x, u)
        k2 = rate(x + 0.5 * dt * k1, u)
        k3 = rate(x + 0.5 * dt * k2, u)
        k4 = rate(x + dt * k3, u)
        return x + dt / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)

    return step
