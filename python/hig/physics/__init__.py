"""Your own simulator.

A simulator is any object with ``simulate`` and at least one of ``jacobian``, ``vjp`` and ``jvp``
(:class:`Simulator`). :func:`from_jax` and :func:`from_torch` make one of a differentiable function of
one sample. Run :func:`check` on it before training.
"""

from ._check import Report, check
from ._jax import from_jax
from ._protocol import Simulator
from ._torch import from_torch

__all__ = ["Report", "Simulator", "check", "from_jax", "from_torch"]
