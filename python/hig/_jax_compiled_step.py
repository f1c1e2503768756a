"""A step of the compiled half inside of compiled JAX code.

A step asks as it goes: for the loss elsewhere, for products, for the rows of J at another θ. JAX's callbacks may
not call JAX. So the step runs on a thread of its own, and its questions come out of callbacks as numbers: a loop
in the compiled code branches on the kind of each, answers it by the model's passes, which stay compiled code, and
hands the answer to the callback that waits for the next question.
"""

from __future__ import annotations

import itertools
import queue
import threading
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import io_callback

from . import _hig
from ._answers import Answers, Indices
from ._arrays import Array
from ._jax_objective import JaxModel
from ._objective import check_curvature

# Kinds of questions, which are branches of the compiled loop.
_DONE, _LOSS, _OUTPUTS, _LINEARIZE, _FACTORS, _ROWS, _CURVATURE, _VJP, _JVP = range(9)

# Vectors over θ that `adaptive-hig` remembers, with room, and words of all else.
_VECTORS, _HEADER = 12, 1 << 14

_sessions: dict[int, _Session] = {}
_tickets = itertools.count()


def on_host(function: Any, answers: list[Any], *given: Any) -> list[Any]:
    """What a function of NumPy arrays answers, from compiled code: float64 or uint32 of given shapes.

    Float64 passes as pairs of words: callbacks are given no wider numbers than JAX is set to.
    """
    double = [value.dtype == jnp.float64 for value in given]
    words = [
        jax.lax.bitcast_convert_type(value, jnp.uint32) if wide else value
        for value, wide in zip(given, double)
    ]
    shape: Any = jax.ShapeDtypeStruct
    told = [
        shape((*answer.shape, 2), jnp.uint32) if answer.dtype == jnp.float64 else answer
        for answer in answers
    ]

    def called(*words: Any) -> list[Any]:
        arrays = [
            np.ascontiguousarray(word).view(np.float64)[..., 0] if wide else np.asarray(word)
            for word, wide in zip(words, double)
        ]
        found = []
        for value, answer in zip(function(*arrays), answers, strict=True):
            array = np.ascontiguousarray(value, dtype=answer.dtype).reshape(answer.shape)
            wide = answer.dtype == jnp.float64
            found.append(array[..., None].view(np.uint32) if wide else array)
        return found

    return [
        jax.lax.bitcast_convert_type(word, jnp.float64) if answer.dtype == jnp.float64 else word
        for word, answer in zip(io_callback(called, told, *words), answers, strict=True)
    ]


class _Session:
    """A step on a thread of its own."""

    def __init__(self, made: CompiledStep, theta: Array, memory: bytes | None) -> None:
        self._made = made
        self._questions: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._theta, self._memory = theta, memory
        self.result: Any = None
        threading.Thread(target=self._run, daemon=True).start()

    def _run(self) -> None:
        made = self._made
        try:
            asked = _Asked(made.model, self.ask)
            result = _hig.step(
                asked, made.method, None, made.seed, self._theta, made.samples, self._memory
            )
            self._questions.put((_DONE, result))
        except BaseException as error:
            self._questions.put((_DONE, error))

    def ask(self, kind: int, theta: Array, more: Array | None = None) -> Any:
        """Asks the compiled code, on the thread of the step."""
        self._questions.put((kind, theta, more))
        return self._answers.get()

    def following(self) -> tuple[int, Any, Any]:
        """The next question."""
        kind, *told = self._questions.get()
        if kind == _DONE:
            (self.result,) = told
            if isinstance(self.result, BaseException) and not isinstance(
                self.result, FloatingPointError
            ):
                raise self.result
            return kind, None, None
        return kind, told[0], told[1]

    def answer(self, answer: Any) -> None:
        """Answers the last one."""
        self._answers.put(answer)


class _Asked:
    """The model as the compiled half asks it; the compiled code answers."""

    summed = False
    # How many there are is not known where the code is compiled.
    combines = False

    def __init__(self, model: JaxModel, ask: Any) -> None:
        self._model, self.ask = model, ask
        self.name, self.views, self.start = model.name, model.views, model.start
        self.components, self.held, self.factors = model.components, model.held, model.factors
        self.answers = Answers()

    def loss(self, theta: Array, indices: Indices) -> float:
        """The loss of the batch."""
        return float(self.ask(_LOSS, theta)[0][0])

    def outputs(self, theta: Array, indices: Indices) -> Array:
        """y (samples, m)."""
        y: Array = self.ask(_OUTPUTS, theta)[0]
        return y

    def linearize(self, theta: Array, indices: Indices) -> tuple[Any, Array, Array, float]:
        """What is kept, y, ∂(loss)/∂y and the loss."""
        y, g, value = self.ask(_LINEARIZE, theta)
        return _AskedPoint(self, theta, y, len(indices)), y, g, float(value[0])


class _AskedPoint:
    """A batch at θ."""

    def __init__(self, of: _Asked, theta: Array, y: Array, samples: int) -> None:
        self._of, self._theta, self._y, self._samples = of, theta, y, samples

    def losses(self) -> None:
        """Not told."""

    def curvature(self) -> Array | Exception:
        """Of the batch's loss (samples, m), or why there is none."""
        model = self._of._model
        if model.no_curvature is not None:
            return model.no_curvature
        told: Array = self._of.ask(_CURVATURE, self._theta)[0]
        return check_curvature(told) or told

    def factors(self) -> tuple[list[tuple[Array, Array]], Array]:
        """What the rows of all samples are made of."""
        alone, rest, *parts = self._of.ask(_FACTORS, self._theta)
        self._of._model.check_independent(self._y, alone)
        return list(zip(parts[::2], parts[1::2])), rest

    def rows(self, first: int, number: int) -> Array:
        """∂y/∂θ of some samples (samples, m, p)."""
        rows: Array = self._of.ask(_ROWS, self._theta, np.array([float(first)]))[0]
        # The last piece ends with the samples.
        start = len(rows) - number if first + len(rows) > self._samples else 0
        return np.ascontiguousarray(rows[start : start + number])

    def combined(self, first: int, number: int, weights: Array) -> Array:
        """Combinations of these rows, with weights (samples · k, m): (samples, k, p)."""
        k = len(weights) // number
        rows = self.rows(first, number)
        return np.ascontiguousarray(weights.reshape(number, k, -1) @ rows)

    def vjp(self, w: Array) -> Array:
        """(∂y/∂θ)ᵀ·w (p,)."""
        product: Array = self._of.ask(_VJP, self._theta, w.ravel())[0]
        return product

    def jvp(self, v: Array) -> Array:
        """∂y/∂θ·v (samples, m)."""
        product: Array = self._of.ask(_JVP, self._theta, v)[0]
        return product


class CompiledStep:
    """An update of a method for a model's batch, in compiled code."""

    def __init__(
        self, model: JaxModel, method: tuple[str, Any], seed: int, samples: int, words: int
    ) -> None:
        self.model, self.method, self.seed, self.samples = model, method, seed, samples
        self._words = words
        m, p = model.components, len(model.start)
        held = (1 << 26) if model.held is None else model.held
        self._piece = min(max(held // (m * p), 1), samples)
        #: Numbers that go with θ.
        self._more = max(p, m * samples)
        one_by_one: Any = jax.custom_batching.sequential_vmap
        self._update = one_by_one(self._unbatched)

    def __call__(self, theta: Any, data: Any, memory: Any) -> Any:
        """Δθ (p,), the loss before it, what it told, and what the method remembers."""
        return self._update(theta, data, memory)

    def _unbatched(self, theta: Any, data: Any, memory: Any) -> Any:
        p = theta.size
        number, vector, more = _double(()), _double((p,)), _double((self._more,))
        question = [number, number, vector, more]
        branches = [self._branch(answer, question) for answer in self._answers(data)]

        def begin(theta: Array, memory: Array) -> Any:
            ticket = next(_tickets)
            _sessions[ticket] = _Session(self, theta.copy(), unpacked(memory))
            return self._asked(ticket)

        def go_on(asked: Any) -> Any:
            _, kind, _, _ = asked
            return jax.lax.switch(kind.astype(jnp.int32) - 1, branches, asked)

        def end(ticket: Array, memory: Array) -> Any:
            result = _sessions.pop(int(ticket)).result
            if isinstance(result, FloatingPointError):
                nothing = np.full(len(NAMES), np.nan)
                return [np.full(p, np.nan), np.nan, nothing, memory]
            delta, loss, state, told = result
            named = dict(told)
            numbers = [named.get(name, np.nan) for name in NAMES]
            return [delta, loss, np.array(numbers), packed(state, self._words)]

        asked = on_host(begin, question, theta, memory)
        ticket, *_ = jax.lax.while_loop(lambda asked: asked[1] != _DONE, go_on, asked)
        return on_host(end, [vector, number, _double((len(NAMES),)), memory], ticket, memory)

    def _asked(self, ticket: int) -> Any:
        """The next question as numbers."""
        try:
            kind, theta, more = _sessions[ticket].following()
        except BaseException:
            del _sessions[ticket]
            raise
        given = np.zeros(self._more)
        if more is not None:
            given[: more.size] = more
        where = np.zeros(len(self.model.start)) if theta is None else theta
        return [ticket, kind, where, given]

    def _branch(self, answer: Any, question: Any) -> Any:
        """Answers one kind of question, and asks for the next."""

        def branch(asked: Any) -> Any:
            ticket, _, theta, more = asked

            def told(ticket: Array, *answers: Array) -> Any:
                _sessions[int(ticket)].answer([array.copy() for array in answers])
                return self._asked(int(ticket))

            return on_host(told, question, ticket, *answer(theta, more))

        return branch

    def _answers(self, data: Any) -> list[Any]:
        """The answers to all kinds of questions, from θ and what goes with it."""
        model, samples, m = self.model, self.samples, self.model.components
        everyone = jnp.arange(samples)

        def linearize(theta: Any, _: Any) -> Any:
            y, g, value = model._linearize(theta, data, everyone)
            return y, g, value[None]

        def factors(theta: Any, _: Any) -> Any:
            alone, parts, rest = model._factors(theta, data, everyone)
            return alone, rest, *(array for pair in parts for array in pair)

        def rows(theta: Any, more: Any) -> Any:
            last = samples - self._piece
            first = jnp.minimum(more[0].astype(jnp.int32), last)
            some = first + jnp.arange(self._piece)
            if model._per_sample:
                return (model._rows(theta, data, some),)
            if model._forward and last == 0:
                return (model._columns(theta, data, everyone),)
            unit = jax.nn.one_hot(some, samples)[:, None, :, None] * jnp.eye(m)[None, :, None, :]
            found = model._pulled_each(theta, data, everyone, unit.reshape(-1, samples, m))
            return (found.reshape(self._piece, m, -1),)

        def curvature(theta: Any, _: Any) -> Any:
            y = model._outputs(theta, data, everyone)
            return (model._curved(y, data, everyone),)

        def pulled(theta: Any, more: Any) -> Any:
            w = more[: samples * m].reshape(samples, m)
            return (model._pulled(theta, data, everyone, w),)

        def pushed(theta: Any, more: Any) -> Any:
            push = model._pushed_by_pulls if model.reverse_only else model._pushed
            return (push(theta, data, everyone, more[: theta.size]),)

        nothing: Any = lambda theta, more: (theta[:1],)  # noqa: E731
        return [
            lambda theta, _: (model._loss_of(theta, data, everyone)[None],),
            lambda theta, _: (model._outputs(theta, data, everyone),),
            linearize,
            nothing if model.factors is None else factors,
            rows,
            nothing if model.no_curvature is not None else curvature,
            pulled,
            pushed,
        ]


def _double(shape: tuple[int, ...]) -> Any:
    make: Any = jax.ShapeDtypeStruct
    return make(shape, jnp.float64)


#: What a step may tell of itself.
NAMES: list[str] = _hig.diagnostics()


def words_of(parameters: int) -> int:
    """How many words what ``adaptive-hig`` remembers takes at most."""
    return 2 * (_VECTORS * parameters) + _HEADER


def packed(state: bytes | None, words: int) -> Any:
    """Bytes as words of a number that does not change: how many there are, and they themselves."""
    found = np.zeros(words, np.uint32)
    if state is not None:
        needed = -(-len(state) // 4)
        if needed >= words:
            raise RuntimeError(f"what the method remembers takes {needed} words of {words}")
        found[0] = len(state)
        found[1 : 1 + needed] = np.frombuffer(state.ljust(4 * needed, b"\0"), np.uint32)
    return found


def unpacked(words: Any) -> bytes | None:
    """The bytes; none at the start."""
    array = np.asarray(words)
    return array[1:].tobytes()[: int(array[0])] if array[0] else None


def samples_in(batch: list[tuple[Any, Any]]) -> int:
    """The samples of a batch, by the leaves of its form with their paths."""
    counts = {leaf.shape[:1] for _, leaf in batch}
    if len(counts) != 1 or counts in ({()}, {(0,)}):
        told = ", ".join(f"batch{jax.tree_util.keystr(p)} {leaf.shape}" for p, leaf in batch)
        raise ValueError(f"expected as many samples along the first axis of each array: {told}")
    return int(counts.pop()[0])
