"""A simulator, and a time step, from a JAX function of one sample."""

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


def step_from_jax(function: Callable[..., Any]) -> JaxStep:
    """A :class:`Step` from ``function(state, control) -> state`` of one sample, written in JAX; with
    ``timed=True`` of :class:`hig.ClosedLoop` from ``function(state, control, time) -> state``.

    It is mapped over the batch, differentiated and compiled once for each size of a batch, all in float64.
    """
    return JaxStep(function)


class JaxStep:
    """See :func:`step_from_jax`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        import jax

        def step(state: Any, control: Any, *time: Any) -> Any:
            return jax.vmap(lambda x, u: function(x, u, *time))(state, control)

        def pulled(state: Any, control: Any, cotangents: Any, *time: Any) -> Any:
            # One pass forwards serves all rows of a sample.
            def of_sample(x: Any, u: Any, rows: Any) -> Any:
                _, pull = jax.vjp(lambda x, u: function(x, u, *time), x, u)
                return jax.vmap(pull)(rows)

            return jax.vmap(of_sample, in_axes=(0, 0, 1), out_axes=1)(state, control, cotangents)

        self._step, self._pulled = jax.jit(step), jax.jit(pulled)

    def step(self, state: Array, control: Array, *time: float) -> Any:
        """The states (samples, state) after a step."""
        with jax_double():
            return self._step(state, control, *time)

    def vjps(self, state: Array, control: Array, cotangents: Array, *time: float) -> Any:
        """Products with k cotangents of each sample, (k, samples, state)."""
        with jax_double():
            return self._pulled(state, control, cotangents, *time)
