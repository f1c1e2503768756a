"""A simulator from a JAX function of one sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .._arrays import Array
from .._optional import jax_double


def from_jax(function: Callable[[Any, Any], Any]) -> JaxSimulator:
    """A simulator from ``function(state, control) -> y`` of one sample, written in JAX.

    It is mapped over the batch, differentiated and compiled once for each size of a batch, all in
    float64: a batch size that divides the samples saves a compilation.
    """
    return JaxSimulator(function)


class JaxSimulator:
    """See :func:`from_jax`."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        import jax

        def rows(state: Any, control: Any) -> Any:
            # The cheaper direction: as many passes as there are outputs, or controls.
            outputs = jax.eval_shape(function, state, control).size
            derive = jax.jacrev if outputs <= control.size else jax.jacfwd
            return derive(function, argnums=1)(state, control)

        def pulled(state: Any, control: Any, cotangent: Any) -> Any:
            return jax.vjp(lambda u: function(state, u), control)[1](cotangent)[0]

        self._simulate = jax.jit(jax.vmap(function))
        self._rows = jax.jit(jax.vmap(rows))
        self._pulled = jax.jit(jax.vmap(pulled))

    def simulate(self, state: Array, control: Array) -> Any:
        """y (samples, outputs)."""
        with jax_double():
            return self._simulate(state, control)

    def jacobian(self, state: Array, control: Array) -> Any:
        """∂y/∂control (samples, outputs, control)."""
        with jax_double():
            return self._rows(state, control)

    def vjp(self, state: Array, control: Array, cotangent: Array) -> Any:
        """(∂y/∂control)ᵀ·cotangent (samples, control)."""
        with jax_double():
            return self._pulled(state, control, cotangent)
