"""Half-inverse gradients for a network of your own, written in JAX.

>>> optimizer = hig.jax.half_inverse(predict, loss, cutoff=1e-6)
>>> state = optimizer.init(parameters)
>>> updates, state = optimizer.update(None, state, parameters, batch=batch)
>>> parameters = optax.apply_updates(parameters, updates)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax.flatten_util import ravel_pytree

from . import _hig
from ._jax_objective import JaxModel, objective
from ._optional import jax_double
from ._settings import count, number
from ._steps import gram_step, spectral_step
from .methods import ALL

__all__ = [
    "AdaptiveHalfInverseState",
    "HalfInverseState",
    "adaptive_half_inverse",
    "half_inverse",
    "objective",
]

# Numbers of J that `auto` forms: half a gibibyte.
_LARGEST = 2**26


class HalfInverseState(NamedTuple):
    """What one update leaves for the user: how many there were, and the loss before the last."""

    updates: int
    loss: float


class AdaptiveHalfInverseState(NamedTuple):
    """What one update leaves to the next: how many there were, the loss before the last, what it told
    by name, and all that the method remembers."""

    updates: int
    loss: float
    diagnostics: dict[str, float]
    memory: bytes | None


def adaptive_half_inverse(
    predict: Callable[[Any, Any], Any],
    loss: Callable[[Any, Any], Any],
    *,
    per_sample: bool = True,
    curvature: Callable[[Any, Any], Any] | None = None,
    seed: int = 0,
    **settings: Any,
) -> optax.GradientTransformationExtraArgs:
    """An optax transformation whose updates are those of the method ``adaptive-hig``, which searches
    damping, exponent and length itself and has no learning rate to choose.

    Parameters
    ----------
    predict, loss, per_sample, curvature : as of :func:`objective`; a batch has its samples along the first
        axis of each array
    seed : of the combinations of rows, where ``sketch`` asks for some
    **settings : of :class:`hig.methods.AdaptiveHalfInverse`

    ``update(None, state, parameters, batch=batch)`` needs no gradients; ones that are given are not
    looked at. Its state is a value: updating twice from one state gives the same answer. The search runs
    outside of JAX, so that ``update`` cannot stand inside a ``jax.jit``.

    Raises
    ------
    ValueError, TypeError
        A setting out of range; leaves and shapes that do not fit, by their paths.
    FloatingPointError
        A loss or an update that is not finite.
    """
    method = ALL["adaptive-hig"](**settings)
    told = method.name, method._assignments()
    seed = count("seed", seed)
    models: dict[Any, Any] = {}

    def init(parameters: Any) -> AdaptiveHalfInverseState:
        return AdaptiveHalfInverseState(0, float("nan"), {}, None)

    def update(
        updates: Any,
        state: AdaptiveHalfInverseState,
        params: Any = None,
        *,
        batch: Any = None,
        **_: Any,
    ) -> tuple[Any, AdaptiveHalfInverseState]:
        if params is None or batch is None:
            raise ValueError(
                "adaptive_half_inverse needs update(gradients, state, params, batch=batch)"
            )
        _check_whole(params)
        if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves((params, batch))):
            raise TypeError(
                "adaptive_half_inverse was called from compiled code (jax.jit, or a wrapper of optax "
                "that compiles, as MultiSteps and apply_if_finite do), where its search cannot run; call "
                "update from plain Python"
            )
        form = str(jax.tree.structure((params, batch)))
        if form not in models:
            how: dict[str, Any] = {"per_sample": per_sample, "curvature": curvature}
            models[form] = JaxModel(predict, loss, params, batch, None, **how)
        model = models[form]
        samples = model.put(batch)
        theta = model.flat(params)
        delta, value, memory, diagnostics = _hig.step(
            model, told, None, seed, theta, samples, state.memory
        )
        changes = model.parameters(delta)
        return changes, AdaptiveHalfInverseState(
            state.updates + 1, value, dict(diagnostics), bytes(memory)
        )

    return optax.GradientTransformationExtraArgs(init, update)


def half_inverse(
    predict: Callable[[Any, Any], Any],
    loss: Callable[[Any, Any], Any],
    learning_rate: float = 1.0,
    exponent: float = 0.5,
    cutoff: float = 1e-6,
    treatment: str = "truncate",
    *,
    damping: float = 1e-6,
    matrix: str = "auto",
    rows: int = 64,
) -> optax.GradientTransformationExtraArgs:
    """An optax transformation whose updates are half-inverse gradients.

    Parameters
    ----------
    predict : ``predict(parameters, batch) -> y``, network and physics together; any pytree of
        parameters, any shape of y
    loss : ``loss(y, batch)``, a number
    learning_rate, exponent, cutoff, treatment, damping : as of :func:`hig.spectral_step`
    matrix : "jacobian" forms J (n, p); "gram" builds K = J·Jᵀ (n, n) from products, ``rows`` of it at a
        time, where J is too large (singular values below 6e-8 of the largest are then lost); "auto"
        forms J up to half a gibibyte

    ``update(None, state, parameters, batch=batch)`` needs no gradients; ones that are given are not
    looked at. Everything is computed in float64, whatever the precision of the parameters, which the
    updates have. The decomposition runs outside of JAX: ``update`` is compiled inside and cannot be
    compiled from outside.

    Raises
    ------
    ValueError, TypeError
        A setting out of range; numbers that are not finite; parameters that are not real.
    """
    if matrix not in ("auto", "jacobian", "gram"):
        raise ValueError(f"matrix = {matrix} is not possible: it must be auto, jacobian or gram")
    for name, value in (("predict", predict), ("loss", loss)):
        if not callable(value):
            kind = type(value).__name__
            raise TypeError(
                f"{name} is of type {kind}, expected a function; of optax.inject_hyperparams ask for "
                'static_args=("predict", "loss", "treatment", "matrix")'
            )
    _check_no_schedule(learning_rate)
    rate = number("learning_rate", learning_rate)
    if not (math.isfinite(rate) and rate >= 0):
        expected = "a finite number of at least 0"
        raise ValueError(f"learning_rate = {rate} is not possible: it must be {expected}")
    spectral = {"exponent": exponent, "cutoff": cutoff, "treatment": treatment, "damping": damping}
    # A setting out of range should be heard of now.
    spectral_step(np.eye(1), np.ones(1), **spectral)  # type: ignore[arg-type]
    passes = _Passes(predict, loss, rows)

    def init(parameters: Any) -> HalfInverseState:
        return HalfInverseState(0, float("nan"))

    def update(
        updates: Any, state: HalfInverseState, params: Any = None, *, batch: Any = None, **_: Any
    ) -> tuple[Any, HalfInverseState]:
        if params is None or batch is None:
            raise ValueError("half_inverse needs update(gradients, state, params, batch=batch)")
        _check_whole(params)
        with jax_double():
            theta, data = _double(params, "parameters"), _double(batch, "batch")
            told = passes.output(theta, data)
            if any(isinstance(part, jax.core.Tracer) for part in told):
                raise TypeError(
                    "half_inverse was called from compiled code (jax.jit, or a wrapper of optax that "
                    "compiles, as MultiSteps and apply_if_finite do), where its decomposition cannot "
                    "run; call update from plain Python"
                )
            value, gradient = map(np.asarray, told)
            width = sum(leaf.size for leaf in jax.tree.leaves(theta))
            formed = matrix == "jacobian" or (
                matrix == "auto" and gradient.size * width <= _LARGEST
            )
            if formed:
                jacobian = np.asarray(passes.jacobian(theta, data))
                step = spectral_step(jacobian, gradient, **spectral)  # type: ignore[arg-type]
            else:
                gram = np.asarray(passes.gram(theta, data))
                c = gram_step(gram, gradient, **spectral)  # type: ignore[arg-type]
                step = np.asarray(passes.pulled(theta, data, c))
            delta = ravel_pytree(theta)[1](jnp.asarray(-learning_rate * step))
            delta = jax.tree.map(lambda d, p: d.astype(jnp.asarray(p).dtype), delta, params)
        return delta, HalfInverseState(state.updates + 1, float(value))

    return optax.GradientTransformationExtraArgs(init, update)


class _Passes:
    """What is asked of network and physics, compiled."""

    def __init__(
        self, predict: Callable[[Any, Any], Any], loss: Callable[[Any, Any], Any], rows: int
    ) -> None:
        def flat(parameters: Any, batch: Any) -> tuple[Any, Callable[[Any], Any]]:
            theta, unravel = ravel_pytree(parameters)
            return theta, lambda t: jnp.ravel(predict(unravel(t), batch))

        def output(parameters: Any, batch: Any) -> Any:
            value, gradient = jax.value_and_grad(loss)(predict(parameters, batch), batch)
            return value, jnp.ravel(gradient)

        def jacobian(parameters: Any, batch: Any) -> Any:
            theta, outputs = flat(parameters, batch)
            return jax.jacrev(outputs)(theta)

        def gram(parameters: Any, batch: Any) -> Any:
            theta, outputs = flat(parameters, batch)
            y, pull = jax.vjp(outputs, theta)
            _, push = jax.linearize(outputs, theta)
            columns = jax.lax.map(lambda unit: push(*pull(unit)), jnp.eye(y.size), batch_size=rows)
            return columns

        def pulled(parameters: Any, batch: Any, c: Any) -> Any:
            theta, outputs = flat(parameters, batch)
            return jax.vjp(outputs, theta)[1](c)[0]

        self.output = jax.jit(output)
        self.jacobian = jax.jit(jacobian)
        self.gram = jax.jit(gram)
        self.pulled = jax.jit(pulled)


def _check_no_schedule(learning_rate: Any) -> None:
    if callable(learning_rate):
        raise TypeError(
            "learning_rate is a function, expected a number; a schedule is a factor after it: "
            "optax.chain(half_inverse(...), optax.scale_by_schedule(schedule))"
        )


def _check_whole(parameters: Any) -> None:
    """Refuses the part of the parameters that a wrapper of optax leaves."""
    leaves = jax.tree.leaves(parameters, is_leaf=lambda node: isinstance(node, optax.MaskedNode))
    if any(isinstance(leaf, optax.MaskedNode) for leaf in leaves):
        raise TypeError(
            "half_inverse was given a part of the parameters (optax.masked, partition or "
            "multi_transform), but a step is one for all that predict reads; keep the others out of "
            "the parameters and let predict close over them"
        )


def _double(tree: Any, name: str) -> Any:
    """Real leaves in float64; of a batch the others stay."""

    def leaf(value: Any) -> Any:
        if name == "parameters" and callable(value):
            raise TypeError(
                f"parameters have a leaf of type {type(value).__name__}, expected arrays; "
                "equinox.partition(model, equinox.is_inexact_array) takes functions out of a model"
            )
        array = jnp.asarray(value)
        if jnp.issubdtype(array.dtype, jnp.floating):
            return array.astype(jnp.float64)
        if name == "parameters":
            raise TypeError(f"{name} have a leaf of dtype {array.dtype}, expected real numbers")
        return array

    return jax.tree.map(leaf, tree)
