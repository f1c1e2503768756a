"""What a training is warned of."""

from __future__ import annotations

from typing import Any


class TrainingWarning(UserWarning):
    """A training does what it should not: ``name`` is that of the cause, ``update`` the number of updates
    done when it was found, ``message`` what happens, ``advice`` what to try.

    Given while the training goes on, and kept in ``result.warnings``. With
    ``warnings.simplefilter("error", hig.TrainingWarning)`` it ends the training: :class:`hig.TrainingStopped`
    has it as its ``__cause__``, and everything computed until then.
    """

    def __init__(self, update: int, name: str, message: str, advice: str) -> None:
        told = f"{message} ({advice})" if advice else message
        super().__init__(f"{name} after update {update}: {told}")
        self.update, self.name, self.message, self.advice = update, name, message, advice

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.update, self.name, self.message, self.advice)


TrainingWarning.__module__ = "hig.errors"
