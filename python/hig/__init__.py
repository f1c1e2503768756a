"""Half-inverse gradients and other ways to train neural networks through differentiable physics.

>>> import hig
>>> system = hig.systems.LinearOscillators()
>>> result = hig.train(system, hig.methods.HalfInverse(cutoff=1e-10), epochs=1)

The step alone, for a Jacobian and a gradient of your own: :func:`spectral_step`,
:func:`half_inverse`, :func:`gram_step`. Your own simulator: :mod:`hig.physics` and :class:`Problem`. A
network in the loop of a time step of your own: :class:`ClosedLoop`.
Any model of your own: :class:`Objective`, :mod:`hig.jax`. Your own equation: :mod:`hig.fields`.
"""

from __future__ import annotations

import importlib
import importlib.metadata
from types import ModuleType

from . import fields, losses, methods, networks, physics, systems
from ._closed_loop import ClosedLoop
from ._data import Dataset
from ._least_squares import least_squares
from ._objective import Objective
from ._problem import Problem
from ._result import History, Losses, Result
from ._steps import gram_step, half_inverse, spectral_step
from ._train import Evaluation, train
from .errors import PrecisionWarning, TrainingInterrupted, TrainingStopped, TrainingWarning
from .training import Training

__all__ = [
    "ClosedLoop",
    "Dataset",
    "Evaluation",
    "History",
    "Losses",
    "Objective",
    "PrecisionWarning",
    "Problem",
    "Result",
    "Training",
    "TrainingInterrupted",
    "TrainingStopped",
    "TrainingWarning",
    "fields",
    "gram_step",
    "half_inverse",
    "least_squares",
    "losses",
    "methods",
    "networks",
    "physics",
    "spectral_step",
    "systems",
    "train",
]


def __getattr__(name: str) -> ModuleType | str:
    # Optional, and slow to import.
    if name in ("jax", "optimistix", "torch"):
        return importlib.import_module(f".{name}", __name__)
    if name == "__version__":
        return importlib.metadata.version("hig")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
