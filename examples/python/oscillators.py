"""The linear oscillators of the library, written again in NumPy and in JAX."""

from __future__ import annotations

import numpy as np

MASSES, COUPLING, STEPS, DT = 2, 0.2, 24, 0.5


def _system() -> tuple[np.ndarray, np.ndarray]:
    """A and b of ẋ = A·x + b·u, positions first."""
    springs = np.zeros((MASSES, MASSES))
    for i in range(1, MASSES):
        springs[i - 1 : i + 1, i - 1 : i + 1] += COUPLING * np.array([[-1.0, 1.0], [1.0, -1.0]])
    zero, one = np.zeros((MASSES, MASSES)), np.eye(MASSES)
    a = np.block([[zero, one], [springs - one, zero]])
    b = np.zeros(2 * MASSES)
    b[-1] = 1.0
    return a, b


class NumpyOscillators:
    """Runge-Kutta steps over the whole batch, derivatives by the recurrence of the tangents."""

    def __init__(self) -> None:
        self.a, self.b = _system()
        self.calls = {"simulate": 0, "jacobian": 0}

    def _step(self, x: np.ndarray, force: np.ndarray) -> np.ndarray:
        def rate(x: np.ndarray) -> np.ndarray:
            return x @ self.a.T + force

        k1 = rate(x)
        k2 = rate(x + 0.5 * DT * k1)
        k3 = rate(x + 0.5 * DT * k2)
        k4 = rate(x + DT * k3)
        return x + DT / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4)

    def simulate(self, state: np.ndarray, control: np.ndarray) -> np.ndarray:
        self.calls["simulate"] += 1
        x = state
        for k in range(control.shape[1]):
            x = self._step(x, control[:, k : k + 1] * self.b)
        return x

    def jacobian(self, state: np.ndarray, control: np.ndarray) -> np.ndarray:
        self.calls["jacobian"] += 1
        samples, steps = control.shape
        tangents = np.zeros((steps, 2 * MASSES))
        for k in range(steps):
            force = np.zeros((steps, 2 * MASSES))
            force[k] = self.b
            tangents = self._step(tangents, force)
        return np.broadcast_to(tangents.T, (samples, 2 * MASSES, steps))


class Products(NumpyOscillators):
    """The same with one kind of product only."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        jacobian = self.jacobian
        self.jacobian = None  # type: ignore[assignment]
        if kind == "vjp":
            self.vjp = lambda s, u, w: np.einsum("soc,so->sc", jacobian(s, u), w)
        else:
            self.jvp = lambda s, u, v: np.einsum("soc,sc->so", jacobian(s, u), v)


def jax_oscillator(state, control):  # type: ignore[no-untyped-def]
    """One sample in JAX."""
    import jax
    import jax.numpy as jnp

    a, b = map(jnp.asarray, _system())

    def step(x, force):  # type: ignore[no-untyped-def]
        def rate(x):  # type: ignore[no-untyped-def]
            return a @ x + b * force

        k1 = rate(x)
        k2 = rate(x + 0.5 * DT * k1)
        k3 = rate(x + 0.5 * DT * k2)
        k4 = rate(x + DT * k3)
        return x + DT / 6.0 * (k1 + 2.0 * k2 + 2.0 * k3 + k4), None

    return jax.lax.scan(step, state, control)[0]
