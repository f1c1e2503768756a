"""Half-inverse gradients for a network of your own, written in JAX.

>>> optimizer = hig.jax.half_inverse(predict, loss, cutoff=1e-6)
>>> state = optimizer.init(parameters)
>>> updates, state = optimizer.update(None, state, parameters, batch=batch)
>>> parameters = optax.apply_updates(parameters, updates)
"""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import _hig
from ._optional import jax_double, needing

with needing("hig.jax", "jax optax"):
    import jax
    import jax.numpy as jnp
    import optax
    from jax.experimental.multihost_utils import process_allgather
    from jax.flatten_util import ravel_pytree

from ._jax_compiled_step import NAMES, CompiledStep, packed, samples_in, unpacked, words_of
from ._jax_factors import Factors
from ._jax_objective import (
    JaxModel,
    _shape,
    check_derivatives,
    check_finite,
    check_leaf,
    check_loss,
    check_outputs,
    objective,
)
from ._settings import count, number, text
from ._steps import gram_step, spectral_step
from .methods import ALL

__all__ = [
    "AdaptiveHalfInverseState",
    "HalfInverseState",
    "adaptive_half_inverse",
    "half_inverse",
    "linear_solver",
    "objective",
]

# Numbers of J that `auto` forms: half a gibibyte.
_LARGEST = 2**26


class HalfInverseState(NamedTuple):
    """What one update leaves for the user: how many there were, and the loss before the last."""

    updates: Any
    loss: Any


class AdaptiveHalfInverseState(NamedTuple):
    """What one update leaves to the next, in arrays: how many there were, the loss before the last, what it
    told by name (NaN where it does not tell it), and all that the method remembers."""

    updates: Any
    loss: Any
    diagnostics: dict[str, Any]
    memory: Any


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
    looked at. Its state is a pytree of arrays: updating twice from one state gives the same answer. It may
    stand in ``jax.jit`` and ``jax.lax.scan``. There the search runs beside the compiled code, which answers what
    it asks; the loss is that of the batch, and where it or an update is not finite, the update is NaN and what
    the method remembers stays as it was.

    Raises
    ------
    ValueError, TypeError
        A setting out of range; leaves and shapes that do not fit, by their paths.
    FloatingPointError
        A loss or an update that is not finite.
    """
    if not isinstance(per_sample, (bool, np.bool_)):
        raise TypeError(f"per_sample = {per_sample!r} is not possible: it must be True or False")
    method = ALL["adaptive-hig"](**settings)
    told = method.name, method._assignments()
    seed = count("seed", seed)
    models: dict[Any, Any] = {}
    how = bool(per_sample), curvature

    def init(parameters: Any) -> AdaptiveHalfInverseState:
        width = sum(jnp.size(leaf) for leaf in jax.tree.leaves(parameters))
        nothing = {name: jnp.asarray(jnp.nan, float) for name in NAMES}
        memory = jnp.asarray(packed(None, words_of(width)))
        return AdaptiveHalfInverseState(jnp.zeros([], jnp.int32), nothing["rank"], nothing, memory)

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
        traced = jax.tree.leaves((params, batch, state))
        if any(_is_traced(leaf) for leaf in traced):
            return compiled(state, params, batch)
        form = str(jax.tree.structure((params, batch)))
        if form not in models:
            models[form] = JaxModel(
                predict, loss, params, batch, None, per_sample=how[0], curvature=curvature
            )
        model = models[form]
        samples = model.put(batch)
        theta = model.flat(params)
        delta, value, memory, diagnostics = _hig.step(
            model, told, None, seed, theta, samples, unpacked(state.memory)
        )
        words = packed(memory, words_of(len(theta)))
        return model.parameters(delta), left(state, value, dict(diagnostics), words)

    def left(
        state: AdaptiveHalfInverseState, value: Any, named: dict[str, Any], memory: Any
    ) -> AdaptiveHalfInverseState:
        dtype = state.loss.dtype
        diagnostics = {name: jnp.asarray(named.get(name, np.nan), dtype) for name in NAMES}
        value = jnp.asarray(value, dtype)
        return AdaptiveHalfInverseState(
            state.updates + 1, value, diagnostics, jnp.asarray(memory, jnp.uint32)
        )

    def compiled(
        state: AdaptiveHalfInverseState, params: Any, batch: Any
    ) -> tuple[Any, AdaptiveHalfInverseState]:
        double = _is_double()
        with jax_double():
            theta, data = _double(params, "parameters"), _double(batch, "batch")
            if not double:
                _check_random(predict, theta, data)
            leaves, form = jax.tree.flatten((theta, data))
            key = form, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
            if key not in models:
                likewise = jax.tree.map(lambda leaf: np.zeros(leaf.shape), theta)
                shapes = jax.tree.map(lambda leaf: _shape(leaf.shape, leaf.dtype), data)
                samples = samples_in(jax.tree_util.tree_flatten_with_path(shapes)[0])
                model = JaxModel.of_shapes(predict, loss, likewise, shapes, *how)
                words = state.memory.size
                models[key] = CompiledStep(model, told, seed, samples, words)
            flat, unravel = ravel_pytree(theta)
            delta, value, numbers, memory = models[key](flat, data, state.memory)
            changes = jax.tree.map(
                lambda d, p: d.astype(jnp.asarray(p).dtype), unravel(delta), params
            )
            named = dict(zip(NAMES, numbers, strict=True))
            return changes, left(state, value, named, memory)

    return optax.GradientTransformationExtraArgs(init, update)


def half_inverse(
    predict: Callable[[Any, Any], Any],
    loss: Callable[[Any, Any], Any],
    learning_rate: float | Callable[[Any], Any] = 1.0,
    exponent: float = 0.5,
    cutoff: float = 1e-6,
    treatment: str = "truncate",
    *,
    damping: float = 1e-6,
    accuracy: float = 1e-3,
    matrix: str = "auto",
    rows: int = 64,
    per_sample: bool = True,
) -> optax.GradientTransformationExtraArgs:
    """An optax transformation whose updates are half-inverse gradients.

    Parameters
    ----------
    predict : ``predict(parameters, batch) -> y``, network and physics together; any pytree of
        parameters, y an array or a pytree of them
    loss : ``loss(y, batch)``, a number
    learning_rate : a number, or a schedule: a function of the number of updates before this one
    exponent, cutoff, treatment, damping, accuracy : as of :func:`hig.spectral_step`
    matrix : "auto" and "gram" build K = J·Jᵀ (n, n) of what goes into and comes back to the arrays of
        parameters that values are multiplied by (matrix products and convolutions; in a scan, or used several
        times, as well), which are far fewer numbers than J. Where the samples are not independent, or too little
        of J factors, "auto" forms J (n, p) up to half a gibibyte, and beyond it, as "gram" always, builds K from
        products, ``rows`` of it at a time (singular values below 6e-8 of the largest are then lost). "jacobian"
        forms J
    per_sample : whether the arrays of the batch and of y have the samples along their first axis, and y of a
        sample depends on no other one. J is then differentiated sample by sample, which is by far the
        fastest; every update compares y with that of the samples alone. With False a row of J costs a pass
        through the whole batch

    ``update(None, state, parameters, batch=batch)`` needs no gradients; ones that are given are not
    looked at. Everything is computed in float64, whatever the precision of JAX and of the parameters, which
    the updates have. It may stand in ``jax.jit`` and ``jax.lax.scan``, where the decomposition is a callback to
    the host, and numbers that are not finite make an update of NaN. The state is a pytree of arrays.

    Raises
    ------
    ValueError, TypeError
        A setting out of range; numbers that are not finite; parameters that are not real; samples that
        depend on each other.
    """
    if matrix not in ("auto", "jacobian", "gram"):
        raise ValueError(f"matrix = {matrix} is not possible: it must be auto, jacobian or gram")
    for name, value in (("predict", predict), ("loss", loss)):
        if not callable(value):
            kind = type(value).__name__
            raise TypeError(
                f"{name} is of type {kind}, expected a function; of optax.inject_hyperparams ask for "
                'static_args=("predict", "loss", "treatment", "matrix", "rows", "per_sample")'
            )
    if not isinstance(per_sample, (bool, np.bool_)):
        raise TypeError(f"per_sample = {per_sample!r} is not possible: it must be True or False")
    if not callable(learning_rate) and not _is_traced(learning_rate):
        rate = number("learning_rate", learning_rate)
        if not (math.isfinite(rate) and rate >= 0):
            expected = "a finite number of at least 0, or a schedule"
            raise ValueError(f"learning_rate = {rate} is not possible: it must be {expected}")
    numbers = exponent, cutoff, damping, accuracy
    if not any(_is_traced(value) for value in numbers):
        # A setting out of range should be heard of now.
        _spectral(treatment, np.eye(1), np.ones(1), *map(np.asarray, numbers))
    passes = _passes(predict, loss, rows, bool(per_sample))

    def init(parameters: Any) -> HalfInverseState:
        return HalfInverseState(jnp.zeros([], jnp.int32), jnp.asarray(jnp.nan, float))

    def update(
        updates: Any, state: HalfInverseState, params: Any = None, *, batch: Any = None, **_: Any
    ) -> tuple[Any, HalfInverseState]:
        if params is None or batch is None:
            raise ValueError("half_inverse needs update(gradients, state, params, batch=batch)")
        _check_whole(params)
        double = _is_double()
        with jax_double():
            theta, data = _double(params, "parameters"), _double(batch, "batch")
            if not double and any(map(_is_traced, jax.tree.leaves((theta, data)))):
                _check_random(predict, theta, data)
            passes.check(theta, data)
            value, y, gradient = passes.output(theta, data)
            if not _is_traced(value) and not np.isfinite(_local(value)):
                for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
                    check_finite(f"parameters{jax.tree_util.keystr(path)}", _local(leaf))
            width = sum(leaf.size for leaf in jax.tree.leaves(theta))
            factors = None if matrix == "jacobian" else passes.factors(theta, data)
            formed = matrix == "jacobian" or (
                matrix == "auto" and gradient.size * width <= _LARGEST
            )
            if factors is not None:
                parts, rest, alone = passes.factored(theta, data)
                host = functools.partial(
                    _factored_step, factors.compiled(), treatment, passes.rounding(theta, data)
                )
                flat = [array for pair in parts for array in pair]
                step = _on_host(host, width, gradient, y, alone, *numbers, rest, *flat)
            elif formed:
                jacobian, alone = passes.jacobian(theta, data)
                host = functools.partial(_jacobian_step, treatment, passes.rounding(theta, data))
                given = jacobian, gradient, y, alone, *numbers
                step = _on_host(host, width, *given)
            else:
                host = functools.partial(_gram_step, treatment)
                _check_products(gradient)
                c = _on_host(host, gradient.size, passes.gram(theta, data), gradient, *numbers)
                step = passes.pulled(theta, data, c)
                step = _local(step) if isinstance(c, np.ndarray) else step
            rate = learning_rate(state.updates) if callable(learning_rate) else learning_rate
            if isinstance(step, np.ndarray) and not _is_traced(rate):
                # Outside of compiled code, for parameters that may lie on devices of other processes.
                delta = _like(params, -float(rate) * step)
                told = jnp.asarray(_local(value), state.loss.dtype)
            else:
                delta = ravel_pytree(theta)[1](-jnp.asarray(rate, jnp.float64) * step)
                delta = jax.tree.map(lambda d, p: d.astype(jnp.asarray(p).dtype), delta, params)
                told = jnp.asarray(value).astype(state.loss.dtype)
        return delta, HalfInverseState(state.updates + 1, told)

    return optax.GradientTransformationExtraArgs(init, update)


def linear_solver(
    A: Any, b: Any, *, exponent: float = 0.5, cutoff: float = 1e-6, x0: Any = None
) -> tuple[Any, dict[str, Any]]:
    """A^(-(1+κ)/2)·b of a Hermitian A = JᴴJ, and the rank: with b = Jᴴ·g the half-inverse direction V·f(Σ)·Uᴴ·g,
    f(σ) = σ^(-κ), for those who have A and b, such as NetKet's drivers (``SR(solver=hig.jax.linear_solver)``).

    Parameters
    ----------
    A : (p, p), or what has ``to_dense()``, such as NetKet's quantum geometric tensors
    b : (p,), or a pytree of p numbers
    exponent : κ: -1 gradient descent, 1/2 half-inverse gradients, 1 the pseudo-inverse of A
    cutoff : σ = √λ(A) up to this part of the largest counts as 0. What is below 3e-8 (in single precision 7e-4)
        times √p of it is rounding in A, and does as well
    x0 : not looked at

    Computed by JAX's eigendecomposition in the precision of A, on its device; may stand in compiled code.
    """
    matrix = A.to_dense() if hasattr(A, "to_dense") else jnp.asarray(A)
    flat, unravel = ravel_pytree(b)
    if matrix.shape != (flat.size, flat.size):
        raise ValueError(
            f"A has shape {matrix.shape}, expected {(flat.size, flat.size)} for this b"
        )
    values, vectors = jnp.linalg.eigh(matrix)
    about: Any = jnp.finfo
    rounding = 4 * flat.size * about(matrix.dtype).eps
    kept = values > jnp.maximum(jnp.asarray(cutoff) ** 2, rounding) * values[-1]
    scale = jnp.where(kept, jnp.where(kept, values, 1.0) ** (-0.5 * (1.0 + exponent)), 0.0)
    x = vectors @ (scale * (vectors.conj().T @ flat))
    x = x if jnp.iscomplexobj(flat) else x.real
    return unravel(x.astype(flat.dtype)), {"rank": jnp.sum(kept)}


def _spectral(treatment: str, jacobian: Any, gradient: Any, *numbers: Any) -> Any:
    exponent, cutoff, damping, accuracy = map(float, numbers)
    more: Any = {"damping": damping, "accuracy": accuracy}
    return spectral_step(jacobian, gradient, exponent, cutoff, treatment, **more)


def _jacobian_step(
    treatment: str, rounding: float, jacobian: Any, gradient: Any, y: Any, alone: Any, *numbers: Any
) -> Any:
    step = _spectral(treatment, jacobian, gradient, *numbers)
    _check_alone(rounding, y, alone)
    return step


def _factored_step(
    layout: Any,
    treatment: str,
    rounding: float,
    gradient: Any,
    y: Any,
    alone: Any,
    exponent: Any,
    cutoff: Any,
    damping: Any,
    accuracy: Any,
    rest: Any,
    *parts: Any,
) -> Any:
    settings = {
        "exponent": float(exponent),
        "cutoff": float(cutoff),
        "treatment": treatment,
        "damping": float(damping),
        "accuracy": float(accuracy),
    }
    told = [(name, text(value)) for name, value in settings.items()]
    samples = len(y)
    for array in (gradient.reshape(samples, -1).T, rest.T, *parts):
        finite = np.isfinite(array)
        if not finite.all():
            # Samples run fastest along the last axis.
            row, column = (int(k) for k in np.argwhere(~finite)[0])
            raise ValueError(
                f"the derivative of y, or the gradient of the loss in it, is {array[row, column]} for sample "
                f"{column % samples} of the batch: every number must be finite"
            )
    # The compiled half has the samples of a component side by side.
    g = np.ascontiguousarray(gradient.reshape(samples, -1).T).ravel()
    step = layout.step((list(zip(parts[::2], parts[1::2])), rest), samples, g, told)
    _check_alone(rounding, y, alone)
    return step


def _check_alone(rounding: float, y: Any, alone: Any) -> None:
    near = np.isclose(alone, y, rtol=rounding, atol=rounding * np.abs(y).max())
    if not near.all():
        s, i = (int(k) for k in np.argwhere(~near)[0])
        raise ValueError(
            f"predict answers {y[s, i]:.6g} for sample {s} of the batch, component {i}, and {alone[s, i]:.6g} "
            "for it alone: where samples depend on each other, say per_sample=False"
        )


def _gram_step(treatment: str, gram: Any, gradient: Any, *numbers: Any) -> Any:
    exponent, cutoff, damping, _ = map(float, numbers)
    return gram_step(gram, gradient, exponent, cutoff, treatment, damping=damping)


def _local(value: Any) -> Any:
    """All of an array, whose parts may lie on devices of several processes."""
    if getattr(value, "is_fully_addressable", True):
        return np.asarray(value)
    return np.asarray(process_allgather(value, tiled=True))


def _like(parameters: Any, vector: Any) -> Any:
    """A vector as a pytree like the parameters, in their types and where they lie."""
    leaves, form = jax.tree.flatten(parameters)
    ends = np.cumsum([np.size(leaf) for leaf in leaves])[:-1]
    made = []
    for leaf, part in zip(leaves, np.split(vector, ends)):
        array = part.reshape(np.shape(leaf)).astype(jnp.result_type(leaf))
        if getattr(leaf, "is_fully_addressable", True):
            made.append(jnp.asarray(array))
        else:
            part_of: Any = functools.partial(operator.getitem, array)
            made.append(jax.make_array_from_callback(array.shape, leaf.sharding, part_of))
    return jax.tree.unflatten(form, made)


def _check_products(gradient: Any) -> None:
    """Refuses what XLA's CPU runtime never ends: callbacks behind loops of collectives."""
    devices = jax.local_device_count() if jax.default_backend() == "cpu" else 1
    if _is_traced(gradient) and devices > 1:
        raise RuntimeError(
            f"K from products was asked for in compiled code, in a process with {devices} CPU devices, which can "
            'wait for each other for ever; call update from plain Python, or say matrix="jacobian"'
        )


def _on_host(function: Callable[..., Any], length: int, *given: Any) -> Any:
    """A vector that a function of NumPy arrays answers, from compiled code as well.

    There float64 passes as pairs of words: callbacks are given no wider numbers than JAX is set to.
    """
    given = tuple(jnp.asarray(value, jnp.float64) for value in given)
    if not any(_is_traced(value) for value in given):
        return np.asarray(function(*map(_local, given)))

    def called(*words: Any) -> Any:
        arrays = [np.ascontiguousarray(word).view(np.float64)[..., 0] for word in words]
        if all(np.isfinite(array).all() for array in arrays):
            step = np.ascontiguousarray(function(*arrays), dtype=np.float64)
        else:
            step = np.full(length, np.nan)
        return step.view(np.uint32).reshape(length, 2)

    shape: Any = jax.ShapeDtypeStruct
    words = [jax.lax.bitcast_convert_type(value, jnp.uint32) for value in given]
    answer = jax.pure_callback(
        called, shape((length, 2), jnp.uint32), *words, vmap_method="sequential"
    )
    return jax.lax.bitcast_convert_type(answer, jnp.float64)


def _passes(
    predict: Callable[[Any, Any], Any], loss: Callable[[Any, Any], Any], rows: int, per_sample: bool
) -> _Passes:
    """The same for transformations that differ in numbers, so that nothing is compiled again."""
    try:
        kept: _Passes = _known(predict, loss, rows, per_sample)
    except TypeError:
        # Functions that are objects without a hash.
        return _Passes(predict, loss, rows, per_sample)
    return kept


class _Passes:
    """What is asked of network and physics, compiled."""

    def __init__(
        self,
        predict: Callable[[Any, Any], Any],
        loss: Callable[[Any, Any], Any],
        rows: int,
        per_sample: bool,
    ) -> None:
        self._predict, self._loss, self.per_sample = predict, loss, per_sample
        self._checked: set[Any] = set()

        def joined(y: Any, samples: bool) -> Any:
            leaves = jax.tree.leaves(y)
            count = leaves[0].shape[0] if samples else 1
            parts = [leaf.reshape(count, -1).astype(jnp.float64) for leaf in leaves]
            return jnp.concatenate(parts, axis=1)

        def flat(parameters: Any, batch: Any) -> tuple[Any, Callable[[Any], Any]]:
            theta, unravel = ravel_pytree(parameters)
            return theta, lambda t: joined(predict(unravel(t), batch), per_sample).ravel()

        def output(parameters: Any, batch: Any) -> Any:
            y = predict(parameters, batch)
            value, gradient = jax.value_and_grad(loss)(y, batch)
            return value, joined(y, per_sample), joined(gradient, per_sample).ravel()

        def jacobian(parameters: Any, batch: Any) -> Any:
            theta, outputs = flat(parameters, batch)
            if not per_sample:
                return _derived(outputs, theta), outputs(theta)[None]
            unravel = ravel_pytree(parameters)[1]

            def of_sample(sample: Any) -> Any:
                one = jax.tree.map(lambda leaf: leaf[None], sample)

                def outputs(t: Any) -> Any:
                    return joined(predict(unravel(t), one), True)[0]

                return _derived(outputs, theta), outputs(theta)

            found, alone = jax.vmap(of_sample)(batch)
            return found.reshape(-1, theta.size), alone

        def gram(parameters: Any, batch: Any) -> Any:
            theta, outputs = flat(parameters, batch)
            y, pull = jax.vjp(outputs, theta)
            _, push = jax.linearize(outputs, theta)
            columns = jax.lax.map(lambda unit: push(*pull(unit)), jnp.eye(y.size), batch_size=rows)
            return columns

        def pulled(parameters: Any, batch: Any, c: Any) -> Any:
            theta, outputs = flat(parameters, batch)
            return jax.vjp(outputs, theta)[1](c)[0]

        def one(parameters: Any, sample: Any) -> Any:
            batch = jax.tree.map(lambda leaf: leaf[None], sample)
            return joined(predict(parameters, batch), True)[0]

        def factored(parameters: Any, batch: Any) -> Any:
            found: Any = self.factors(parameters, batch)
            y, parts, rest = found.of_batch(one, parameters, batch)
            return parts, rest, y

        self._one = one
        self._found: dict[Any, Factors] = {}
        self.factored = jax.jit(factored)
        self.output = jax.jit(output)
        self.jacobian = jax.jit(jacobian)
        self.gram = jax.jit(gram)
        self.pulled = jax.jit(pulled)

    def factors(self, parameters: Any, batch: Any) -> Factors | None:
        """How the rows of J factor, where that takes fewer numbers than J, and no more than are held."""
        if not self.per_sample:
            return None
        shapes = jax.tree.map(lambda leaf: _shape(leaf.shape, leaf.dtype), parameters)
        sample = jax.tree.map(lambda leaf: _shape(leaf.shape[1:], leaf.dtype), batch)
        leaves, form = jax.tree.flatten((shapes, sample))
        key = form, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key not in self._found:
            self._found[key] = Factors(self._one, shapes, sample)
        found = self._found[key]
        samples = len(jax.tree.leaves(batch)[0])
        few = found.numbers < found.components * found.width
        return found if few and samples * found.numbers <= _LARGEST else None

    def rounding(self, parameters: Any, batch: Any) -> float:
        """How far y of a sample alone may be from y in the batch."""
        leaves = jax.tree.leaves(jax.eval_shape(self._predict, parameters, batch))
        return 1e-9 if all(leaf.dtype.itemsize >= 8 for leaf in leaves) else 1e-3

    def check(self, parameters: Any, batch: Any) -> None:
        """Refuses functions without derivatives, and arrays without samples along their first axis."""
        leaves, form = jax.tree.flatten((parameters, batch))
        key = form, tuple((leaf.shape, leaf.dtype) for leaf in leaves)
        if key in self._checked:
            return
        name = getattr(self._predict, "__name__", type(self._predict).__name__)
        y = jax.eval_shape(self._predict, parameters, batch)
        found = check_outputs(name, y)
        samples: Any = None
        if self.per_sample:
            batched = jax.tree_util.tree_flatten_with_path(batch)[0]
            placed = [(f"batch{jax.tree_util.keystr(path)}", leaf) for path, leaf in batched]
            for place, leaf in (*placed, *found):
                samples = leaf.shape[:1] if samples is None else samples
                if leaf.shape[:1] != samples or leaf.ndim == 0:
                    count = samples[0] if samples else "as many as the others"
                    raise ValueError(
                        f"{place} has shape {leaf.shape}, expected {count} samples along its first axis; "
                        "say per_sample=False where a batch has no samples"
                    )
                if leaf.shape[0] == 0:
                    raise ValueError(f"{place} has shape {leaf.shape}: it has no samples")
        check_loss(jax.eval_shape(self._loss, y, batch))
        rows = sum(leaf.size for _, leaf in found) // (samples[0] if self.per_sample else 1)
        # Where columns of J are fewer, a predict may have a forward derivative alone.
        if rows <= sum(leaf.size for leaf in jax.tree.leaves(parameters)):
            check_derivatives(name, self._predict, self._loss, parameters, batch)
        self._checked.add(key)


_known: Any = functools.lru_cache(maxsize=32)(_Passes)


def _derived(function: Callable[[Any], Any], at: Any) -> Any:
    """Its Jacobian by the direction that takes fewer passes."""
    if jax.eval_shape(function, at).size > at.size:
        try:
            return jax.jacfwd(function)(at)
        except TypeError as error:
            if "custom_vjp" not in str(error):
                raise
    return jax.jacrev(function)(at)


def _check_whole(parameters: Any) -> None:
    """Refuses the part of the parameters that a wrapper of optax leaves."""
    leaves = jax.tree.leaves(parameters, is_leaf=lambda node: isinstance(node, optax.MaskedNode))
    if any(isinstance(leaf, optax.MaskedNode) for leaf in leaves):
        raise TypeError(
            "half_inverse was given a part of the parameters (optax.masked, partition or "
            "multi_transform), but a step is one for all that predict reads; keep the others out of "
            "the parameters and let predict close over them"
        )


def _is_double() -> bool:
    """Whether JAX is set to double precision."""
    config: Any = jax.config
    return bool(config.jax_enable_x64)


def _is_traced(value: Any) -> bool:
    return isinstance(value, jax.core.Tracer)


def _check_random(predict: Callable[..., Any], parameters: Any, batch: Any) -> None:
    """Refuses random numbers in double precision where JAX, which compiles the function around in its own, does
    not compile them."""
    closed: Any = jax.make_jaxpr(predict)(parameters, batch)
    if _draws_double(closed.jaxpr):
        raise TypeError(
            "predict draws random numbers in double precision, in which it is computed; JAX compiles them only with "
            "jax_enable_x64: switch that on, say dtype=jnp.float32 where they are drawn, or draw them before and give "
            "them with the batch"
        )


def _draws_double(jaxpr: Any) -> bool:
    for eqn in jaxpr.eqns:
        if eqn.primitive.name == "random_bits" and eqn.params["bit_width"] == 64:
            return True
        for inner in jax.tree.leaves(
            list(eqn.params.values()), is_leaf=lambda part: hasattr(part, "eqns")
        ):
            body = getattr(inner, "jaxpr", inner)
            if hasattr(body, "eqns") and _draws_double(body):
                return True
    return False


def _double(tree: Any, name: str) -> Any:
    """Real leaves in float64; of a batch the others stay."""

    def leaf(path: Any, value: Any) -> Any:
        if name == "parameters":
            check_leaf(name + jax.tree_util.keystr(path), value)
        array = jnp.asarray(value)
        real = jnp.issubdtype(array.dtype, jnp.floating)
        return array.astype(jnp.float64) if real else array

    return jax.tree_util.tree_map_with_path(leaf, tree)
