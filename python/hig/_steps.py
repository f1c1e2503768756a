"""The step alone, for those who have J and g, or K and g."""

from __future__ import annotations

from collections.abc import Mapping

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
        The singular value iteration did not converge.
    """
    settings = {"exponent": exponent, "cutoff": cutoff}
    return _hig.half_inverse(double("jacobian", jacobian, 2, like=_SHAPE), _told(settings))


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
        An iteration did not converge.
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
    return _hig.spectral_step(
        double("jacobian", jacobian, 2, like=_SHAPE), _vector(gradient), _told(settings)
    )


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
    rounding and count as 0, and a step's relative error at the cut-off τ is about 2e-16/τ². Only the
    lower half of K is read.

    Raises
    ------
    ValueError, TypeError
        A setting out of range; an array of the wrong shape or dtype, empty, or not finite.
    numpy.linalg.LinAlgError
        The eigenvalue iteration did not converge.
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
    return _hig.gram_step(matrix, _vector(gradient), _told(settings))


def _vector(gradient: ArrayLike) -> Array:
    return double("gradient", gradient, 1)


def _told(settings: Mapping[str, object]) -> list[tuple[str, str]]:
    return [(name, text(value)) for name, value in settings.items()]
