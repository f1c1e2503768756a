"""Time steps of your own, between which a network is called, and what the compiled half calls."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

import numpy as np

from .._arrays import Array
from ._adapter import checked


@runtime_checkable
class Step(Protocol):
    """A time step of a batch of independent samples, x' = F(state, control), differentiable in both.

    All arrays are float64, contiguous by rows, one sample a row. Beside ``step`` at least one of these is
    needed:

    ``vjp(state, control, cotangent)``
        (∂F/∂state)ᵀ·cotangent (samples, state) and (∂F/∂control)ᵀ·cotangent (samples, control) of every
        sample, for a cotangent (samples, state) of x'.
    ``jacobian(state, control)``
        ∂F/∂state (samples, state, state) and ∂F/∂control (samples, state, control): the row is the
        component of x'.
    ``jvp(state, control, state_tangent, control_tangent)``
        The change of x' (samples, state) with changes of state and control.

    Optional: ``vjps(state, control, cotangents)``, the products of ``vjp`` for k cotangents of each sample
    at once, (k, samples, state) → (k, samples, state) and (k, samples, control).

    A step that knows the time (``timed=True`` of :class:`hig.ClosedLoop`) gets that at which it begins as
    one more argument, a float behind the others.

    However many rows of the Jacobian a training carries back through a step, it makes one call: of ``vjps``
    where it is there; of ``vjp`` for a single row; of ``jacobian``; of ``vjp`` with every state and control
    repeated, k·samples rows in all; of ``jvp`` likewise, once for each component of state and control. Every
    call is made on the thread that called :func:`hig.train`. An exception ends the training, which raises
    :class:`hig.TrainingStopped` with it as the cause.
    """

    def step(self, state: Array, control: Array) -> Any:
        """The states (samples, state) after a step from those before it and the controls during it."""


_DERIVATIVES = ("vjps", "jacobian", "vjp", "jvp")


class StepAdapter:
    """Calls a step and refuses answers of the wrong type or shape, by the number of the time step.

    Numbers that are not finite pass: a method may look too far along a line and come back. A training
    that ends by one tells time step and sample.
    """

    def __init__(self, step: Any, dt: float, timed: bool) -> None:
        self.given = step
        self.name = kind = type(step).__name__
        self._dt, self._timed = dt, timed
        self._warned: set[str] = set()
        if not callable(getattr(step, "step", None)):
            hint = (
                "; hig.physics.step_from_jax and step_from_torch make one of a function"
                if callable(step)
                else ""
            )
            raise TypeError(f"{kind} is no time step: it needs step(state, control){hint}")
        offered = [name for name in _DERIVATIVES if callable(getattr(step, name, None))]
        if not offered:
            raise TypeError(
                f"{kind} is not differentiable: it needs vjp(state, control, cotangent), "
                "jacobian(state, control) or jvp(state, control, state_tangent, control_tangent)"
            )
        self._offers = set(offered)

    def advance(self, k: int, state: Array, control: Array) -> Array:
        """The states after time step k."""
        with _InStep(k):
            found = self.given.step(state, control, *self._time(k))
            return self._checked("step", found, state.shape, "(samples, state)")

    def pull_back(self, k: int, state: Array, control: Array, rows: Array) -> tuple[Array, Array]:
        """Rows of cotangents of x' (count · samples, state), those of a component of y below each other, to
        rows of cotangents of state and control."""
        samples, d = state.shape
        count, c = len(rows) // samples, control.shape[1]
        with _InStep(k):
            if "vjps" in self._offers:
                found = self._vjps(k, state, control, rows.reshape(count, samples, d))
            elif "vjp" in self._offers and (count == 1 or "jacobian" not in self._offers):
                repeated = np.tile(state, (count, 1)), np.tile(control, (count, 1))
                return self._vjp(k, *repeated, rows, count)
            else:
                by_sample = rows.reshape(count, samples, d).transpose(1, 0, 2)
                derivatives = self._derivatives(k, state, control)
                found = tuple((by_sample @ part).transpose(1, 0, 2) for part in derivatives)
            return tuple(
                np.ascontiguousarray(part.reshape(count * samples, width))
                for part, width in zip(found, (d, c))
            )  # type: ignore[return-value]

    def _vjps(self, k: int, state: Array, control: Array, rows: Array) -> tuple[Array, ...]:
        found = self.given.vjps(state, control, rows, *self._time(k))
        lead = rows.shape[:2]
        shapes = (*lead, state.shape[1]), (*lead, control.shape[1])
        meanings = "(k, samples, state)", "(k, samples, control)"
        return self._pair("vjps", found, shapes, meanings)

    def _vjp(
        self, k: int, state: Array, control: Array, rows: Array, count: int
    ) -> tuple[Array, Array]:
        try:
            found = self.given.vjp(state, control, rows, *self._time(k))
        except Exception as error:
            if count > 1:
                _note(
                    error,
                    f"{self.name}.vjp was asked with {len(rows)} rows, each of {len(rows) // count} samples "
                    f"once for each of {count} rows of the Jacobian",
                )
            raise
        meanings = "(samples, state)", "(samples, control)"
        return self._pair("vjp", found, (state.shape, control.shape), meanings)  # type: ignore[return-value]

    def _derivatives(self, k: int, state: Array, control: Array) -> tuple[Array, ...]:
        """∂F/∂state (samples, state, state) and ∂F/∂control (samples, state, control)."""
        (samples, d), c = state.shape, control.shape[1]
        if "jacobian" in self._offers:
            found = self.given.jacobian(state, control, *self._time(k))
            shapes = (samples, d, d), (samples, d, c)
            meanings = "(samples, state, state)", "(samples, state, control)"
            return self._pair("jacobian", found, shapes, meanings)
        units = np.tile(np.eye(d + c), (samples, 1))
        repeated = np.repeat(state, d + c, axis=0), np.repeat(control, d + c, axis=0)
        along = np.ascontiguousarray(units[:, :d]), np.ascontiguousarray(units[:, d:])
        columns = self.given.jvp(*repeated, *along, *self._time(k))
        columns = self._checked("jvp", columns, repeated[0].shape, "(samples, state)")
        both = columns.reshape(samples, d + c, d).transpose(0, 2, 1)
        return both[:, :, :d], both[:, :, d:]

    def _time(self, k: int) -> tuple[float, ...]:
        return (k * self._dt,) if self._timed else ()

    def _pair(
        self, method: str, found: Any, shapes: tuple[Any, Any], meanings: tuple[str, str]
    ) -> tuple[Array, ...]:
        if not isinstance(found, (tuple, list)) or len(found) != 2:
            told = "None" if found is None else f"a {type(found).__name__}"
            if isinstance(found, (tuple, list)):
                told = f"{len(found)} arrays"
            raise TypeError(
                f"{self.name}.{method} returned {told}, expected two arrays: {' and '.join(meanings)}"
            )
        names = (f"{method}[{i}]" for i in range(2))
        return tuple(map(self._checked, names, found, shapes, meanings))

    def _checked(self, method: str, answer: Any, shape: tuple[int, ...], meaning: str) -> Array:
        return checked(f"{self.name}.{method}", answer, shape, meaning, self._warned)


class _InStep:
    """Tells in which time step an exception was raised, in a note behind its own words."""

    def __init__(self, k: int) -> None:
        self._k = k

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, Exception):
            _note(error, f"in time step {self._k}, counted from 0")


def _note(error: BaseException, note: str) -> None:
    # add_note of Python 3.11, whose attribute is this one.
    error.__notes__ = [*getattr(error, "__notes__", []), note]


class Whole:
    """A step as the compiled half checks a simulator: its control is state and control side by side."""

    has_vjp, has_jvp, has_inverse = True, False, False

    def __init__(self, adapter: StepAdapter, width: int, k: int) -> None:
        self.name, self._adapter, self._width, self._k = adapter.name, adapter, width, k

    def _parts(self, both: Array) -> tuple[Array, Array]:
        parts = np.split(both, [self._width], axis=1)
        return np.ascontiguousarray(parts[0]), np.ascontiguousarray(parts[1])

    def simulate(self, _: Array, both: Array) -> Array:
        """x' (samples, state)."""
        return self._adapter.advance(self._k, *self._parts(both))

    def vjp(self, _: Array, both: Array, cotangent: Array) -> Array:
        """Both products side by side."""
        found = self._adapter.pull_back(self._k, *self._parts(both), cotangent)
        return np.concatenate(found, axis=1)

    def rows(self, _: Array, both: Array) -> Array:
        """∂x'/∂(state, control) (samples, state, state + control)."""
        samples, d = len(both), self._width
        units = np.repeat(np.eye(d), samples, axis=0)
        found = self.vjp(_, both, units).reshape(d, samples, -1)
        return np.ascontiguousarray(found.transpose(1, 0, 2))
