"""Half-inverse gradients as a solver of optimistix, for least squares.

>>> solver = hig.optimistix.HalfInverse(rtol=1e-8, atol=1e-8)
>>> optimistix.least_squares(residuals, solver, y0, args)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ._optional import jax_double, needing

with needing("hig.optimistix", "jax optax equinox optimistix"):
    import equinox as eqx
    import jax
    import jax.numpy as jnp
    import optimistix as optx
    from jax.flatten_util import ravel_pytree

from .jax import _on_host, _spectral

__all__ = ["HalfInverse", "HalfInverseDescent"]


class _State(eqx.Module):
    direction: Any


class HalfInverseDescent(optx.AbstractDescent[Any, Any, Any]):
    """The direction V·f(Σ)·Uᵀ·r of residuals r with J = U·Σ·Vᵀ, f(σ) = σ^(-exponent), as a descent that any solver
    for least squares of optimistix takes. The settings are those of :func:`hig.spectral_step`; what is decomposed is
    in float64, whatever the precision of JAX."""

    exponent: float = 0.5
    cutoff: float = 1e-6
    treatment: str = eqx.field(static=True, default="truncate")
    damping: float = 1e-6
    accuracy: float = 1e-3

    def __check_init__(self) -> None:
        # A setting out of range should be heard of now.
        self._step(np.eye(1), np.ones(1), *map(np.asarray, self._numbers()))

    def _numbers(self) -> tuple[float, float, float, float]:
        return self.exponent, self.cutoff, self.damping, self.accuracy

    def _step(self, jacobian: Any, residual: Any, *numbers: Any) -> Any:
        return _spectral(self.treatment, jacobian, residual, *numbers)

    def init(self, y: Any, f_info_struct: Any) -> _State:
        """Nothing yet."""
        return _State(y)

    def query(self, y: Any, f_info: Any, state: _State) -> _State:
        """The direction at y."""
        if not isinstance(f_info, optx.FunctionInfo.ResidualJac):
            raise TypeError(
                "HalfInverseDescent needs residuals and their Jacobian: a solver for least squares"
            )
        flat, unravel = ravel_pytree(y)
        with jax_double():
            residual = ravel_pytree(f_info.residual)[0].astype(jnp.float64)
            jacobian = f_info.jac.as_matrix().astype(jnp.float64)
            step = _on_host(self._step, flat.size, jacobian, residual, *self._numbers())
        return _State(unravel(jnp.asarray(step).astype(flat.dtype)))

    def step(self, step_size: Any, state: _State) -> tuple[Any, Any]:
        """What it is of a length."""
        return jax.tree.map(lambda d: -step_size * d, state.direction), optx.RESULTS.successful


class HalfInverse(optx.AbstractGaussNewton[Any, Any, Any]):
    """A solver for ``optimistix.least_squares``: half-inverse gradients with steps that are halved until they
    lower the sum of squares enough (``optimistix.BacktrackingArmijo``).

    ``rtol``, ``atol`` and ``norm`` are those of ``optimistix.GaussNewton``; ``exponent``, ``cutoff``, ``treatment`` and
    ``damping`` those of :func:`hig.spectral_step`. ``search`` is another search of optimistix.
    """

    rtol: float
    atol: float
    norm: Callable[..., Any]
    descent: Any
    search: Any
    verbose: Callable[..., None]

    def __init__(
        self,
        rtol: float,
        atol: float,
        norm: Callable[..., Any] = optx.max_norm,
        search: Any = None,
        **settings: Any,
    ) -> None:
        self.rtol, self.atol, self.norm = rtol, atol, norm
        self.descent = HalfInverseDescent(**settings)
        self.search = optx.BacktrackingArmijo() if search is None else search
        self.verbose = lambda **_: None
