"""Your own simulator, and your own time step.

A simulator is any object with ``simulate`` and at least one of ``jacobian``, ``vjp`` and ``jvp``
(:class:`Simulator`). :func:`from_jax` and :func:`from_torch` make one of a differentiable function of
one sample. Run :func:`check` on it before training.

A time step between two calls of a network, for :class:`hig.ClosedLoop`, is any object with ``step`` and at
least one of ``vjp``, ``jacobian`` and ``jvp`` (:class:`Step`). :func:`step_from_jax` and
:func:`step_from_torch` make one of a function; :func:`check_step` checks it.
"""

from ._check import Report, check, check_step
from ._jax import from_jax, step_from_jax
from ._protocol import Simulator
from ._step import Step
from ._torch import from_torch, step_from_torch

__all__ = [
    "Report",
    "Simulator",
    "Step",
    "check",
    "check_step",
    "from_jax",
    "from_torch",
    "step_from_jax",
    "step_from_torch",
]
