"""Between a user's simulator and the compiled half."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np

from .._arrays import Array
from .._precision import PrecisionWarning


class Adapter:
    """Calls a simulator and refuses answers of the wrong type or shape.

    Numbers that are not finite pass: a method may look too far along a line and come back. A training
    that ends by one tells the sample.
    """

    def __init__(self, simulator: Any, outputs: int) -> None:
        self.simulator = simulator
        self.outputs = outputs
        self._warned: set[str] = set()
        offers = {name: callable(getattr(simulator, name, None)) for name in _METHODS}
        self.name = kind = type(simulator).__name__
        if not offers["simulate"]:
            raise TypeError(f"{kind} is no simulator: it needs simulate(state, control)")
        if not (offers["jacobian"] or offers["vjp"] or offers["jvp"]):
            raise TypeError(
                f"{kind} is not differentiable: it needs jacobian(state, control), "
                "vjp(state, control, cotangent) or jvp(state, control, tangent)"
            )
        self.has_jacobian = offers["jacobian"]
        self.has_vjp = offers["vjp"]
        self.has_jvp = offers["jvp"]
        self.has_inverse = offers["inverse"]

    def simulate(self, state: Array, control: Array) -> Array:
        """y (samples, outputs)."""
        y = self.simulator.simulate(state, control)
        return self._checked("simulate", y, (len(control), self.outputs), "(samples, outputs)")

    def rows(self, state: Array, control: Array) -> Array:
        """∂y/∂control (samples, outputs, control), by one call of what there is."""
        samples, width = control.shape
        if self.has_jacobian:
            shape = (samples, self.outputs, width)
            rows = self.simulator.jacobian(state, control)
            return self._checked("jacobian", rows, shape, "(samples, outputs, control)")
        count = self.outputs if self.has_vjp else width
        units = np.tile(np.eye(count), (samples, 1))
        states, controls = np.repeat(state, count, axis=0), np.repeat(control, count, axis=0)
        try:
            if self.has_vjp:
                return self.vjp(states, controls, units).reshape(samples, self.outputs, width)
            columns = self.jvp(states, controls, units).reshape(samples, width, self.outputs)
        except Exception as error:
            method, times = ("vjp", "output") if self.has_vjp else ("jvp", "control")
            note = (
                f"{self.name}.{method} was asked for the Jacobian: with {len(units)} rows, each of "
                f"{samples} samples once for each of {count} {times}s"
            )
            # add_note of Python 3.11, whose attribute is this one.
            error.__notes__ = [*getattr(error, "__notes__", []), note]
            raise
        return np.ascontiguousarray(columns.transpose(0, 2, 1))

    def vjp(self, state: Array, control: Array, cotangent: Array) -> Array:
        """(∂y/∂control)ᵀ·cotangent (samples, control)."""
        product = self.simulator.vjp(state, control, cotangent)
        return self._checked("vjp", product, control.shape, "(samples, control)")

    def jvp(self, state: Array, control: Array, tangent: Array) -> Array:
        """∂y/∂control·tangent (samples, outputs)."""
        product = self.simulator.jvp(state, control, tangent)
        return self._checked("jvp", product, (len(control), self.outputs), "(samples, outputs)")

    def inverse(self, state: Array, control: Array, y: Array) -> Array:
        """Controls (samples, control) that produce y."""
        inverse = self.simulator.inverse(state, control, y)
        return self._checked("inverse", inverse, control.shape, "(samples, control)")

    def _checked(self, method: str, answer: Any, shape: tuple[int, ...], meaning: str) -> Array:
        return checked(f"{self.name}.{method}", answer, shape, meaning, self._warned)


def checked(
    name: str, answer: Any, shape: tuple[int, ...], meaning: str, warned: set[str]
) -> Array:
    """What the user's ``name`` answered, as a contiguous float64 array of that shape. Single precision is
    warned of once for each set ``warned``.

    Raises
    ------
    TypeError, ValueError
        Anything else.
    """
    if answer is None:
        raise TypeError(f"{name} returned None, expected an array {meaning}")
    array = np.asarray(answer)
    if array.dtype.kind != "f":
        raise TypeError(f"{name} returned dtype {array.dtype}, expected float64")
    if array.shape != shape:
        raise ValueError(f"{name} returned shape {array.shape}, expected {shape} {meaning}")
    if array.dtype.itemsize < 8 and not warned:
        warned.add(name)
        warnings.warn(
            f"{name} returned {array.dtype}: its rounding limits how far a training comes; "
            "simulate in float64",
            PrecisionWarning,
            stacklevel=3,
        )
    return np.ascontiguousarray(array, dtype=np.float64)


_METHODS = ("simulate", "jacobian", "vjp", "jvp", "inverse")
