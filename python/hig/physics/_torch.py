"""A simulator, and a time step, from a PyTorch function of one sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .._arrays import Array


def from_torch(function: Callable[[Any, Any], Any]) -> TorchSimulator:
    """A simulator from ``function(state, control) -> y`` of one sample, written in PyTorch.

    It is mapped over the batch and differentiated by ``torch.func`` (``functorch`` before PyTorch 2), on the
    CPU in float64. What it does must be open to ``torch.func.vmap``: no ``.item()``, no branches on values.
    """
    return TorchSimulator(function)


class TorchSimulator:
    """See :func:`from_torch`."""

    def __init__(self, function: Callable[[Any, Any], Any]) -> None:
        from .._torch_tools import transforms

        func = transforms()

        def pulled(state: Any, control: Any, cotangent: Any) -> Any:
            return func.vjp(lambda u: function(state, u), control)[1](cotangent)[0]

        self._simulate = func.vmap(function)
        self._pulled = func.vmap(pulled)
        self._reverse = func.vmap(func.jacrev(function, argnums=1))
        self._forward = func.vmap(func.jacfwd(function, argnums=1))
        self._outputs = 0

    def simulate(self, state: Array, control: Array) -> Array:
        """y (samples, outputs)."""
        y = _call(self._simulate, state, control)
        self._outputs = y.shape[-1]
        return y

    def jacobian(self, state: Array, control: Array) -> Array:
        """∂y/∂control (samples, outputs, control)."""
        reverse = self._outputs <= control.shape[1]
        return _call(self._reverse if reverse else self._forward, state, control)

    def vjp(self, state: Array, control: Array, cotangent: Array) -> Array:
        """(∂y/∂control)ᵀ·cotangent (samples, control)."""
        return _call(self._pulled, state, control, cotangent)


def step_from_torch(function: Callable[..., Any]) -> TorchStep:
    """A :class:`Step` from ``function(state, control) -> state`` of one sample, written in PyTorch; with
    ``timed=True`` of :class:`hig.ClosedLoop` from ``function(state, control, time) -> state``.

    It is mapped over the batch and differentiated by ``torch.func`` (``functorch`` before PyTorch 2), on the
    CPU in float64, as by :func:`from_torch`.
    """
    return TorchStep(function)


class TorchStep:
    """See :func:`step_from_torch`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        from .._torch_tools import transforms

        func = transforms()

        def step(time: tuple[float, ...]) -> Callable[..., Any]:
            return func.vmap(lambda x, u: function(x, u, *time))  # type: ignore[no-any-return]

        def pulled(time: tuple[float, ...]) -> Callable[..., Any]:
            # One pass forwards serves all rows of a sample.
            def of_sample(x: Any, u: Any, rows: Any) -> Any:
                _, pull = func.vjp(lambda x, u: function(x, u, *time), x, u)
                return func.vmap(pull)(rows)

            return func.vmap(of_sample, in_dims=(0, 0, 1), out_dims=1)  # type: ignore[no-any-return]

        self._step, self._pulled = step, pulled

    def step(self, state: Array, control: Array, *time: float) -> Array:
        """The states (samples, state) after a step."""
        return _call(self._step(time), state, control)

    def vjps(self, state: Array, control: Array, cotangents: Array, *time: float) -> Any:
        """Products with k cotangents of each sample, (k, samples, state)."""
        import torch

        given = (torch.from_numpy(array) for array in (state, control, cotangents))
        return tuple(part.detach().numpy() for part in self._pulled(time)(*given))


def _call(function: Callable[..., Any], *arrays: Array) -> Array:
    import torch

    answer = function(*(torch.from_numpy(array) for array in arrays))
    return np.asarray(answer.detach().numpy())
