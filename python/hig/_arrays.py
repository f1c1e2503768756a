"""Arrays as the compiled half takes them: float64, contiguous, not empty."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ._precision import PrecisionWarning

Array = NDArray[np.float64]


def double(name: str, value: ArrayLike, dimensions: int, *, like: str = "") -> Array:
    """``value`` as a contiguous float64 array, itself where it already is one.

    Single precision is converted with a :class:`PrecisionWarning`. Anything else raises: integers
    and booleans because they are rarely meant, complex numbers because nothing here is.
    """
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} is a masked array: give its numbers, or leave the masked ones out"
        )
    array: NDArray[Any] = np.asarray(value)
    if array.dtype.kind == "f" and array.dtype.itemsize == 8:
        array = array.astype(np.float64, copy=False)  # of another byte order
    elif array.dtype.kind == "f" and array.dtype.itemsize < 8:
        precision = float(np.finfo(array.dtype).eps)
        warnings.warn(
            f"{name} is {array.dtype}: singular values below about {precision:.0e} of the largest "
            "are rounding; compute it in float64",
            PrecisionWarning,
            stacklevel=3,
        )
        array = array.astype(np.float64)
    else:
        hint = "" if array.dtype.kind == "c" else "; convert it with .astype(numpy.float64)"
        raise TypeError(f"{name} has dtype {array.dtype}, expected float64{hint}")
    if array.ndim != dimensions:
        shape = like or ("(n,)" if dimensions == 1 else "two dimensions")
        raise ValueError(f"{name} has shape {array.shape}, expected {shape}")
    # A network that sees the state alone has an input without columns.
    without_columns = dimensions == 2 and name == "input" and len(array) > 0
    if array.size == 0 and not (without_columns or (dimensions == 2 and name.endswith("state"))):
        raise ValueError(f"{name} has shape {array.shape}: it is empty")
    if array.flags.c_contiguous or (dimensions == 2 and array.flags.f_contiguous):
        return array
    return np.ascontiguousarray(array)


def by_rows(name: str, value: ArrayLike, *, like: str = "") -> Array:
    """The same in two dimensions; the compiled half copies it."""
    return double(name, value, 2, like=like)
