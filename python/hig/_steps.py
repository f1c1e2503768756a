"""The step alone, for those who have J and g, or K and g."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from . import _hig
from ._arrays import Array, double
from ._settings import text

_SHAPE = "(n, p)"


def half_inverse(jacobian: ArrayLike, exponent: float = 0.5, cutoff: float = 1e-6) -> Array:
    """V·f(Σ)·Uᵀ (p, n) of J = U·Σ·Vᵀ (n, p), f(σ) = σ^(-exponent).

    Singular values up to ``cutoff`` times the largest count as 0. The half-inverse of Schnell, Holl
    and Thuerey (2022, arXiv 2203.10131, equation 5) has the exponent 1/2, the pseudo-inverse 1.

    Raises
    ------
    ValueError, TypeError
        A setting out of range; an array of the wrong shape or dtype, empty, or not finite.
    numpy.linalg.LinAlgError
        The singular value iteration did not converge, or the inverse has numbers beyond float64.
    """
    settings = {"exponent": exponent, "cutoff": cutoff}
    inverse = _hig.half_inverse(double("jacobian", jacobian, 2, like=_SHAPE), _told(settings))
    return _finite("the inverse", inverse)


def spectral_step(
    jacobian: ArrayLike,
    gradient: ArrayLike,
    exponent: float = 0.5,
    cutoff: float = 1e-6,
    treatment: str = "truncate",
    route: str = "auto",
    *,
    damping: float = 1e-6,
    accuracy: float = 1e-8,
    tolerance: float = 1e-3,
) -> Array:
    """V·f(Σ)·Uᵀ·g (p,) of J = U·Σ·Vᵀ (n, p) and g (n,): the update is minus this, times η.

    Parameters
    ----------
    exponent : κ in f(σ) = σ^(-κ): -1 gradient descent, 1/2 half-inverse gradients, 1 Gauss-Newton
    cutoff : τ, singular values up to τ times the largest are treated
    treatment : "truncate" (f = 0), "clamp" (σ raised to the cut-off) or "damp" (Tikhonov)
    route : "auto", "gram" (n × n), "normal" (p × p), "lanczos" (no matrix) or "svd"
    damping : λ of treatment "damp", in the units of σ²
    accuracy : relative error allowed on the routes gram and normal (it stays far below; a training
        needs no more than 1e-3)
    tolerance : estimated relative error at which lanczos stops

    A contiguous float64 Jacobian, by rows or by columns, is not copied unless the work takes
    seconds.

    Raises
    ------
    ValueError, TypeError
        A setting out of range; an array of the wrong shape or dtype, empty, or not finite.
    numpy.linalg.LinAlgError
        An iteration did not converge, or the step has numbers beyond float64.
    """
    settings = {
        "exponent": exponent,
        "cutoff": cutoff,
        "treatment": treatment,
        "route": route,
        "damping": damping,
        "accuracy": accuracy,
        "tolerance": tolerance,
    }
    matrix = double("jacobian", jacobian, 2, like=_SHAPE)
    return _finite("the step", _hig.spectral_step(matrix, _vector(gradient), _told(settings)))


def gram_step(
    gram: ArrayLike,
    gradient: ArrayLike,
    exponent: float = 0.5,
    cutoff: float = 1e-6,
    treatment: str = "truncate",
    *,
    damping: float = 1e-6,
) -> Array:
    """c (n,) with which V·f(Σ)·Uᵀ·g = Jᵀ·c, from K = J·Jᵀ (n, n) and g (n,) alone.

    For those who can multiply by Jᵀ (a vjp) but do not want J. The parameters are those of
    :func:`spectral_step`. K squares the condition: singular values below 6e-8 of the largest are
    rounding and count as 0, and a step's relative error at the cut-off τ is about 2e-16/τ².

    Raises
    ------
    ValueError, TypeError
        A setting out of range; an array of the wrong shape or dtype, empty, or not finite; a K that
        is not symmetric or has an eigenvalue below 0, by more than rounding.
    numpy.linalg.LinAlgError
        The eigenvalue iteration did not converge, or the step has numbers beyond float64.
    """
    settings = {
        "exponent": exponent,
        "cutoff": cutoff,
        "treatment": treatment,
        "damping": damping,
    }
    matrix = double("gram", gram, 2, like="(n, n)")
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"gram has shape {matrix.shape}, expected (n, n)")
    _check_gram(matrix, 1e-10 if np.asarray(gram).dtype.itemsize >= 8 else 1e-4)
    return _finite("the step", _hig.gram_step(matrix, _vector(gradient), _told(settings)))


def _check_gram(gram: Array, rounding: float) -> None:
    """Refuses what is no J·Jᵀ by more than ``rounding`` of its largest entry."""
    largest = float(np.abs(gram).max())
    if not 0 < largest < np.inf:
        return  # zeros have no step, and numbers that are not finite are told with their place
    scaled = gram / largest
    difference = np.abs(scaled - scaled.T)
    if difference.max() > rounding:
        i, j = (int(k) for k in np.unravel_index(difference.argmax(), difference.shape))
        raise ValueError(
            f"gram is not symmetric: it is {gram[i, j]} at row {i}, column {j}, and {gram[j, i]} "
            f"at row {j}, column {i}; expected K = J·Jᵀ"
        )
    shifted = scaled + rounding * np.trace(np.abs(scaled)) * np.eye(len(scaled))
    try:
        np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        smallest = float(np.linalg.eigvalsh(scaled)[0]) * largest
        raise ValueError(
            f"gram has the eigenvalue {smallest:.6g}: expected K = J·Jᵀ, which has none below 0"
        ) from None


def _finite(name: str, numbers: Array) -> Array:
    if not np.isfinite(numbers).all():
        raise np.linalg.LinAlgError(
            f"{name} has numbers beyond the largest of float64: singular values of J are too small "
            "for this exponent; choose larger units of θ or smaller ones of y, so that J is larger"
        )
    return numbers


def _vector(gradient: ArrayLike) -> Array:
    return double("gradient", gradient, 1)


def _told(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, text(value)) for name, value in settings.items()]
