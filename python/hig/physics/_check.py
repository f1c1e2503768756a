"""Checks to run on a simulator of one's own."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from .. import _hig
from .._arrays import by_rows
from .._settings import count
from ._adapter import Adapter
from ._protocol import Simulator
from ._step import Step, StepAdapter, Whole


@dataclass(frozen=True)
class Report:
    """Largest relative errors, and what they say.

    ``finite_difference``: products J·v against central differences with step 1e-5, which leave about
    1e-8 for smooth systems. ``adjoint_identity``: ⟨J·v, w⟩ against ⟨v, Jᵀ·w⟩, and ``rows``: the rows of
    J against products; ``batches``: answers for single and for repeated samples against those for the
    batch; ``elsewhere``: answers after other questions against those before. All but the first are exact
    up to rounding. ``faults`` says in words what is broken; it is empty where nothing is.
    """

    finite_difference: float
    adjoint_identity: float
    rows: float
    batches: float
    elsewhere: float
    faults: tuple[str, ...]


def check(simulator: Simulator, state: ArrayLike, control: ArrayLike, outputs: int) -> Report:
    """Compares a simulator's derivatives with differences and with each other at given points, and asks
    as a training does: about other batch sizes, repeated samples, and derivatives away from the last
    ``simulate``.

    Raises
    ------
    RuntimeError
        It fails for a question that is not the given batch; the message says for which, and the
        exception is its ``__cause__``.
    """
    adapter = Adapter(simulator, outputs)
    errors, faults = _hig.check_simulator(
        adapter, outputs, by_rows("state", state), by_rows("control", control)
    )
    return _report(errors, faults)


def _report(errors: list[float], faults: list[str]) -> Report:
    difference, adjoint, rows, batches, elsewhere = errors
    return Report(difference, adjoint, rows, batches, elsewhere, tuple(faults))


def check_step(
    step: Step,
    state: ArrayLike,
    control: ArrayLike,
    *,
    timed: bool = False,
    dt: float = 1.0,
    number: int = 0,
) -> Report:
    """The same for a time step at given states (samples, state) and controls (samples, control): its
    derivatives in both. ``timed`` and ``dt`` as in :class:`hig.ClosedLoop`, for the time step ``number``."""
    x, u = by_rows("state", state), by_rows("control", control)
    if len(x) != len(u):
        raise ValueError(f"control has shape {u.shape}, expected {len(x)} samples as the state")
    whole = Whole(StepAdapter(step, float(dt), timed), x.shape[1], count("number", number))
    both = np.concatenate([x, u], axis=1)
    errors, faults = _hig.check_simulator(whole, x.shape[1], np.zeros((len(x), 0)), both)
    return _report(errors, faults)
