"""What a model of the user's answers, as the compiled half takes it."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ._arrays import Array
from ._precision import PrecisionWarning

Indices = NDArray[np.int64]


class Answers:
    """Refuses answers of the wrong type or shape; numbers that are not finite pass, because a method may
    look too far along a line and come back."""

    def __init__(self) -> None:
        self._warned = False

    def array(self, name: str, answer: Any, shape: tuple[int, ...], meaning: str) -> Array:
        """A float64 array of a shape, contiguous by rows."""
        array = self.real(name, answer, meaning)
        if array.shape != shape:
            raise ValueError(f"{name} returned shape {array.shape}, expected {shape} {meaning}")
        return array

    def real(self, name: str, answer: Any, meaning: str) -> Array:
        """A float64 array of any shape, contiguous by rows."""
        if answer is None:
            raise TypeError(f"{name} returned None, expected an array {meaning}")
        array: NDArray[Any] = np.asarray(answer)
        if array.dtype.kind != "f":
            raise TypeError(f"{name} returned dtype {array.dtype}, expected float64")
        if array.dtype.itemsize < 8:
            self.warn(name, array.dtype)
        return np.ascontiguousarray(array, dtype=np.float64)

    def warn(self, name: str, dtype: Any) -> None:
        """Tells once of numbers of less than double precision."""
        if self._warned:
            return
        self._warned = True
        warnings.warn(
            f"{name} returned {dtype}: its rounding limits how far a training comes; compute it in "
            "float64",
            PrecisionWarning,
            stacklevel=2,
        )


def digest(leaves: Iterable[Any]) -> str:
    """Some letters that tell arrays from others."""
    made = hashlib.sha256()
    for leaf in leaves:
        array = np.ascontiguousarray(leaf)
        made.update(f"{array.dtype.kind}{array.shape}".encode())
        made.update(array.tobytes())
    return made.hexdigest()[:16]
