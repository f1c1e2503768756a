"""A simulator from a PyTorch function of one sample."""

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


def _call(function: Callable[..., Any], *arrays: Array) -> Array:
    import torch

    answer = function(*(torch.from_numpy(array) for array in arrays))
    return np.asarray(answer.detach().numpy())
