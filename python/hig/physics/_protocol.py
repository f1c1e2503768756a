"""What a simulator is."""

from __future__ import annotations

from typing import Any, Protocol, runtime_checkable

from .._arrays import Array


@runtime_checkable
class Simulator(Protocol):
    """A batch of independent simulations, y = P(state, control), differentiable in the control.

    All arrays are float64, contiguous by rows, one sample a row. Beside ``simulate`` at least one of
    these is needed; an update of HIG calls ``simulate`` once and the first of them that is there once:

    ``jacobian(state, control)``
        ∂y/∂control of every sample (samples, outputs, control).
    ``vjp(state, control, cotangent)``
        (∂y/∂control)ᵀ·cotangent of every sample: (samples, outputs) → (samples, control).
    ``jvp(state, control, tangent)``
        ∂y/∂control·tangent of every sample: (samples, control) → (samples, outputs).

    Optional: ``inverse(state, control, y)``, controls that produce the given outputs, which
    scale-invariant physics then uses.

    Every call is made on the thread that called :func:`hig.train`. An exception ends the training,
    which raises :class:`hig.TrainingStopped` with it as the cause.
    """

    def simulate(self, state: Array, control: Array) -> Any:
        """y (samples, outputs) of states (samples, states) and controls (samples, control)."""
