"""Checks to run on a simulator of one's own."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from .. import _hig
from .._arrays import by_rows
from ._adapter import Adapter
from ._protocol import Simulator


@dataclass(frozen=True)
class Report:
    """Largest relative errors.

    ``finite_difference``: products J·v against central differences with step 1e-5, which leave about
    1e-8 for smooth systems. ``adjoint_identity``: ⟨J·v, w⟩ against ⟨v, Jᵀ·w⟩, and ``rows``: the rows of
    J against products; both exact up to rounding.
    """

    finite_difference: float
    adjoint_identity: float
    rows: float


def check(simulator: Simulator, state: ArrayLike, control: ArrayLike, outputs: int) -> Report:
    """Compares a simulator's derivatives with differences and with each other at given points."""
    adapter = Adapter(simulator, outputs)
    errors = _hig.check_simulator(
        adapter, outputs, by_rows("state", state), by_rows("control", control)
    )
    return Report(*errors)
