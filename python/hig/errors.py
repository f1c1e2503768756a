"""What is raised and warned about, beside the built-in exceptions.

Settings, shapes and numbers that are not possible raise ``ValueError``, types that are not
``TypeError``, a matrix that cannot be decomposed ``numpy.linalg.LinAlgError``, work that would need
too much memory ``MemoryError``, files ``OSError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._precision import PrecisionWarning
from ._warning import TrainingWarning

if TYPE_CHECKING:
    from ._result import Result


__all__ = ["PrecisionWarning", "TrainingInterrupted", "TrainingStopped", "TrainingWarning"]


class TrainingStopped(RuntimeError):
    """A training ended before its budget; ``result`` holds everything computed until then.

    Where a simulator or callback raised, its exception is the ``__cause__``.
    """

    def __init__(self, message: str, result: Result) -> None:
        super().__init__(message)
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (str(self), self.result)


class TrainingInterrupted(KeyboardInterrupt):
    """Ctrl-C during a training; ``result`` holds everything computed until then."""

    def __init__(self, result: Result) -> None:
        super().__init__(f"after update {result.updates}")
        self.result = result

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.result,)
