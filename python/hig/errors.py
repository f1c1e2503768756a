"""What is raised and warned about, beside the built-in exceptions.

Settings, shapes and numbers that are not possible raise ``ValueError``, types that are not
``TypeError``, a matrix that cannot be decomposed ``numpy.linalg.LinAlgError``, work that would need
too much memory ``MemoryError``, files ``OSError``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ._precision import PrecisionWarning

if TYPE_CHECKING:
    from ._result import Result


__all__ = ["PrecisionWarning", "TrainingInterrupted", "TrainingStopped", "TrainingWarning"]


class TrainingWarning(UserWarning):
    """A training does what it should not: ``name`` is that of the cause, ``update`` the number of updates
    done when it was found, ``message`` what happens, ``advice`` what to try.

    Given while the training goes on, and kept in ``result.warnings``. With
    ``warnings.simplefilter("error", hig.TrainingWarning)`` it ends the training: :class:`TrainingStopped`
    has it as its ``__cause__``, and everything computed until then.
    """

    def __init__(self, update: int, name: str, message: str, advice: str) -> None:
        told = f"{message} ({advice})" if advice else message
        super().__init__(f"{name} after update {update}: {told}")
        self.update, self.name, self.message, self.advice = update, name, message, advice

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.update, self.name, self.message, self.advice)


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
