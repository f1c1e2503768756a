"""A time step of the library's pole on a cart, written again in NumPy and in JAX."""

from __future__ import annotations

import numpy as np

CART, POLE, HALF_LENGTH, GRAVITY, DT = 1.0, 0.1, 0.5, 9.8, 0.01


class CartPole:
    """A Runge-Kutta step of position, velocity, angle from upright and angular velocity under a force,
    with the products of its derivative by hand."""

    def __init__(self) -> None:
        self.calls = {"step": 0, "vjp": 0}

    @staticmethod
    def _rate(x: np.ndarray, force: np.ndarray) -> np.ndarray:
        sin, cos, spin = np.sin(x[:, 2]), np.cos(x[:, 2]), x[:, 3]
        push = force + POLE * (HALF_LENGTH * sin * spin**2 - 0.75 * GRAVITY * sin * cos)
        a = push / (CART + POLE * (1.0 - 0.75 * cos**2))
        turn = 0.75 / HALF_LENGTH * (GRAVITY * sin - a * cos)
        return np.stack([x[:, 1], a, spin, turn], axis=1)

    @staticmethod
    def _rate_vjp(x: np.ndarray, force: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Products with rows w (k, samples, 4), at states (samples, 4)."""
        sin, cos, spin = np.sin(x[:, 2]), np.cos(x[:, 2]), x[:, 3]
        push = force + POLE * (HALF_LENGTH * sin * spin**2 - 0.75 * GRAVITY * sin * cos)
        inertia = CART + POLE * (1.0 - 0.75 * cos**2)
        a = push / inertia
        turn = 0.75 / HALF_LENGTH * w[..., 3]
        pull = (w[..., 1] - cos * turn) / inertia
        swing = HALF_LENGTH * cos * spin**2 - 0.75 * GRAVITY * (cos**2 - sin**2)
        of_angle = pull * POLE * (swing - 1.5 * a * sin * cos) + turn * (GRAVITY * cos + a * sin)
        of_spin = w[..., 2] + pull * POLE * 2.0 * HALF_LENGTH * sin * spin
        return np.stack([np.zeros_like(pull), w[..., 0], of_angle, of_spin], axis=-1), pull

    def _stages(self, x: np.ndarray, force: np.ndarray) -> tuple[list[np.ndarray], np.ndarray]:
        states, slope, sum_ = [x], self._rate(x, force), np.zeros_like(x)
        for share, weight in ((0.5, 1.0), (0.5, 2.0), (1.0, 2.0)):
            sum_ += weight * slope
            states.append(x + share * DT * slope)
            slope = self._rate(states[-1], force)
        return states, x + DT / 6.0 * (sum_ + slope)

    def step(self, state: np.ndarray, control: np.ndarray) -> np.ndarray:
        self.calls["step"] += 1
        return self._stages(state, control[:, 0])[1]

    def vjps(
        self, state: np.ndarray, control: np.ndarray, cotangents: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Of k cotangents of each sample, (k, samples, 4): the stages are computed once for all of them."""
        self.calls["vjp"] += 1
        force = control[:, 0]
        states = self._stages(state, force)[0]
        of_state, of_force = cotangents.copy(), 0.0
        back = np.zeros_like(cotangents)
        shares, weights = (0.5, 0.5, 1.0, 0.0), (1.0, 2.0, 2.0, 1.0)
        for x, share, weight in zip(states[::-1], shares[::-1], weights[::-1]):
            # The slope of a stage enters the sum, and the state of the next stage.
            rows = DT / 6.0 * weight * cotangents + share * DT * back
            back, pull = self._rate_vjp(x, force, rows)
            of_state = of_state + back
            of_force = of_force + pull
        return of_state, of_force[..., None]


class Top:
    """The chord between the tip of the pole and its place above the cart: half its square is 1 - cos θ."""

    def simulate(self, start: np.ndarray, x: np.ndarray) -> np.ndarray:
        return 2.0 * np.sin(0.5 * x[:, 2:3])

    def vjp(self, start: np.ndarray, x: np.ndarray, cotangent: np.ndarray) -> np.ndarray:
        product = np.zeros_like(x)
        product[:, 2] = np.cos(0.5 * x[:, 2]) * cotangent[:, 0]
        return product


def jax_cart_pole(state, control):  # type: ignore[no-untyped-def]
    """The step of one sample in JAX."""
    import jax.numpy as jnp

    def rate(x):  # type: ignore[no-untyped-def]
        sin, cos, spin = jnp.sin(x[2]), jnp.cos(x[2]), x[3]
        push = control[0] + POLE * (HALF_LENGTH * sin * spin**2 - 0.75 * GRAVITY * sin * cos)
        a = push / (CART + POLE * (1.0 - 0.75 * cos**2))
        turn = 0.75 / HALF_LENGTH * (GRAVITY * sin - a * cos)
        return jnp.stack([x[1], a, spin, turn])

    k1 = rate(state)
    k2 = rate(state + 0.5 * DT * k1)
    k3 = rate(state + 0.5 * DT * k2)
    k4 = rate(state + DT * k3)
    return state + DT / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)
