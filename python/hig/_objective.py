"""Objectives: a model of the user's that every method trains."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from . import _hig
from ._answers import Answers, Indices, digest
from ._arrays import Array, double
from ._data import Dataset
from ._problem import Problem
from .losses import SquaredError


class Objective(Problem):
    """A model of your own, for :func:`hig.train`: any parameters, any outputs y, any loss of y.

    ``model`` is an object whose methods answer in NumPy arrays of float64, for weights θ (p,) and a batch
    of the samples:

    ``residual(theta, batch)``
        r (samples, m), or (samples,). The loss of a sample is Σ r², or ½ Σ r² with
        ``loss=hig.losses.SquaredError(0.5)``, and that of a batch their mean.
    ``output(theta, batch)``
        Instead of it: y (samples, m), judged by ``loss``.
    ``jacobian(theta, batch)``
        ∂y/∂θ (samples, m, p).
    ``vjp(theta, batch, cotangent)``
        (∂y/∂θ)ᵀ·cotangent: (samples, m) → (p,).
    ``jvp(theta, batch, tangent)``
        ∂y/∂θ·tangent: (p,) → (samples, m).

    At least one of the last three is needed. Without ``jacobian`` its rows are asked one by one where a
    method needs them. Samples are independent: an answer for a sample does not depend on the others in its
    batch, whose size is any. ``hig.jax.objective`` and ``hig.torch.objective`` make an objective of a
    function or a module.

    Parameters
    ----------
    model : see above
    weights : θ at the start (p,)
    train : samples to train on: an array, or a dictionary, tuple or list of arrays, each with the samples
        along its first axis, or a :class:`hig.Dataset`; a batch has the same form. Without any, the methods
        are called without a batch and all of y (n,) belongs to one sample
    test : samples to judge by, of the same form; the training samples without
    loss : :class:`hig.losses.SquaredError`, of ``y - batch["target"]`` for an ``output``; or an object
        with ``values(y, batch)`` (samples,), ``gradient(y, batch)`` = ∂(loss of a sample)/∂y (samples, m)
        and, for the methods that need it, ``curvature(y, batch)`` (samples, m), above 0

    Raises
    ------
    ValueError, TypeError
        Arrays of the wrong shape or type, by name.
    """

    _adapter: Any

    def __init__(
        self,
        model: Any,
        weights: ArrayLike,
        train: Any = None,
        test: Any = None,
        loss: Any = None,
    ) -> None:
        arguments = model, weights, train, test, loss
        adapter = _NumPyModel(model, double("weights", weights, 1), train, test, loss)
        self._begin(adapter, Objective, arguments)

    @classmethod
    def _of(
        cls, adapter: Any, make: Callable[..., Objective], arguments: tuple[Any, ...]
    ) -> Objective:
        """Of any adapter; ``make(*arguments)`` makes it again."""
        objective = cls.__new__(cls)
        objective._begin(adapter, make, arguments)
        return objective

    def _begin(
        self, adapter: Any, make: Callable[..., Objective], arguments: tuple[Any, ...]
    ) -> None:
        self._adapter = adapter
        self._made = make, arguments
        samples = len(adapter.samples[0]), len(adapter.samples[1])
        self._compiled = _hig.Problem.model(adapter, samples, adapter.told)

    def __reduce__(self) -> tuple[Any, ...]:
        # Made again from its parts: what is compiled is not copied.
        return self._made

    def __repr__(self) -> str:
        samples = len(self._adapter.samples[0])
        name, m, p = self._adapter.name, self._adapter.components, len(self._adapter.start)
        return f"Objective({name}: {samples} samples, {m} outputs each, {p} weights)"

    @property
    def train(self) -> Any:
        """The samples to train on, as they were given."""
        return self._adapter.data[0]

    @property
    def test(self) -> Any:
        """The samples to judge by, as they were given."""
        return self._adapter.data[1]

    def __len__(self) -> int:
        return len(self._adapter.samples[0])

    def parameters(self, weights: ArrayLike) -> Any:
        """Weights (p,) in the form in which the parameters were given, with their types."""
        return self._adapter.parameters(self._weights(weights))

    def weights(self, parameters: Any) -> Array:
        """Parameters of that form as weights (p,)."""
        flat: Array = self._adapter.flat(parameters)
        return flat

    def predict(self, weights: ArrayLike, batch: Any = None) -> Any:
        """What the model answers for a batch of samples of any origin; without one, y (samples, m) of the
        training samples."""
        theta = self._weights(weights)
        if batch is None:
            return self._compiled.outputs(theta, 0, len(self))
        return self._adapter.predict(theta, batch)

    def simulate(
        self, weights: ArrayLike, input: ArrayLike, state: ArrayLike | None = None
    ) -> Array:
        raise TypeError("an Objective has no simulator of its own; ask predict(weights, batch)")

    def _weights(self, weights: ArrayLike) -> Array:
        theta = double("weights", weights, 1)
        if theta.shape != self._adapter.start.shape:
            expected = self._adapter.start.shape
            raise ValueError(f"weights have shape {theta.shape}, expected {expected}")
        return theta


def mapped(function: Callable[[Any], Any], tree: Any) -> Any:
    """A function of each array in a dictionary, tuple, list or data set."""
    if isinstance(tree, Dataset):
        return Dataset(function(tree.input), function(tree.target), function(tree.state))
    if isinstance(tree, dict):
        return {name: mapped(function, value) for name, value in tree.items()}
    if isinstance(tree, tuple):
        parts = [mapped(function, value) for value in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [mapped(function, value) for value in tree]
    return function(tree)


def take(tree: Any, indices: Any) -> Any:
    """The samples of an array, or of each array in a dictionary, tuple, list or data set."""
    return mapped(lambda leaf: leaf[indices], tree)


def leaves(tree: Any, path: str) -> list[tuple[str, NDArray[Any]]]:
    """The arrays with where they stand."""
    if isinstance(tree, Dataset):
        tree = {"input": tree.input, "target": tree.target, "state": tree.state}
    if isinstance(tree, dict):
        return [leaf for name, value in tree.items() for leaf in leaves(value, f"{path}[{name!r}]")]
    if isinstance(tree, (tuple, list)) and not all(np.isscalar(value) for value in tree):
        return [leaf for i, value in enumerate(tree) for leaf in leaves(value, f"{path}[{i}]")]
    return [(path, np.asarray(tree))]


def samples_of(found: list[tuple[str, Any]], name: str) -> int:
    """How many samples the arrays of a data set have, along the first axis of each."""
    if not found:
        raise ValueError(f"{name} has no arrays")
    for path, leaf in found:
        if leaf.ndim == 0:
            raise ValueError(
                f"{path} is a number, expected an array with samples along its first axis"
            )
    number = len(found[0][1])
    if number == 0:
        raise ValueError(f"{found[0][0]} has shape {found[0][1].shape}: it has no samples")
    for path, leaf in found[1:]:
        if len(leaf) != number:
            raise ValueError(
                f"{path} has {len(leaf)} samples and {found[0][0]} has {number}: expected as many"
            )
    for path, leaf in found:
        if leaf.dtype.kind == "f":
            finite = np.isfinite(np.asarray(leaf, dtype=np.float64)).reshape(number, -1).all(axis=1)
            if not finite.all():
                sample = int(np.argmin(finite))
                raise ValueError(f"{path} is not finite in sample {sample}: every number must be")
    return number


def check_forms(train: list[tuple[str, Any]], test: list[tuple[str, Any]]) -> None:
    """Refuses test samples of another form than the training samples."""
    forms = [
        [(p.removeprefix(n), x.shape[1:]) for p, x in of]
        for n, of in (("train", train), ("test", test))
    ]
    for (where, shape), (_, other) in zip(*forms):
        if shape != other:
            raise ValueError(
                f"test{where} has samples of shape {other}, expected {shape} as in train{where}"
            )
    if [where for where, _ in forms[0]] != [where for where, _ in forms[1]]:
        told = [", ".join(where for where, _ in form) for form in forms]
        raise ValueError(f"test has the arrays {told[1]}, expected {told[0]} as train has")


def read_samples(
    train: list[tuple[str, Any]], test: list[tuple[str, Any]]
) -> tuple[tuple[range, range], list[tuple[str, str]]]:
    """How many training and test samples there are, and what tells them from others."""
    samples = range(samples_of(train, "train")), range(samples_of(test, "test"))
    if test is not train:
        check_forms(train, test)
    told = [
        ("training data", digest(leaf for _, leaf in train)),
        ("test data", digest(leaf for _, leaf in test)),
    ]
    return samples, told


class _NumPyModel:
    """A model in NumPy as the compiled half asks it."""

    #: Numbers of J held at once; none for the default.
    held: int | None = None
    factors = None
    combines = True
    summed = False

    def __init__(self, model: Any, start: Array, train: Any, test: Any, loss: Any) -> None:
        self.model, self.start = model, start
        self.name = type(model).__name__
        if not np.isfinite(start).all():
            place = int(np.argmin(np.isfinite(start)))
            raise ValueError(f"weights is {start[place]} at {place}: every number must be finite")
        self._has = {name: callable(getattr(model, name, None)) for name in _METHODS}
        self._method = "residual" if self._has["residual"] else "output"
        if not self._has[self._method]:
            raise TypeError(
                f"{self.name} is no model: it needs residual(theta, batch) or output(theta, batch)"
            )
        if not any(self._has[name] for name in ("jacobian", "vjp", "jvp")):
            raise TypeError(
                f"{self.name} is not differentiable: it needs jacobian(theta, batch), "
                "vjp(theta, batch, cotangent) or jvp(theta, batch, tangent)"
            )
        self.answers = Answers()
        self.views = [("theta", list(start.shape))]
        self.data = train, train if test is None else test
        self._whole = train is None
        self.told: list[tuple[str, str]] = []
        if self._whole:
            if test is not None:
                raise ValueError("test samples were given without any to train on")
            self.samples = range(1), range(1)
        else:
            found = leaves(train, "train")
            judged = found if test is None else leaves(test, "test")
            self.samples, self.told = read_samples(found, judged)
        self._loss = self._judge(loss)
        probe = self.batch(np.arange(1))
        y = self._call(self._method, start, probe)
        y = self.answers.real(f"{self.name}.{self._method}", y, "(samples, m)")
        if not self._whole and (y.ndim not in (1, 2) or len(y) != 1):
            raise ValueError(
                f"{self.name}.{self._method} returned shape {y.shape} for one sample, expected (1, m)"
            )
        self.components = int(y.size)
        if self.components == 0:
            raise ValueError(f"{self.name}.{self._method} returned shape {y.shape}: it is empty")

    def _judge(self, loss: Any) -> Any:
        if loss is None and self._method == "residual":
            return _Squares(SquaredError())
        if isinstance(loss, SquaredError):
            return _Squares(loss, target=self._method == "output")
        if loss is None:
            raise ValueError(
                "loss is missing: an output is judged by one, such as hig.losses.SquaredError()"
            )
        for method in ("values", "gradient"):
            if not callable(getattr(loss, method, None)):
                raise TypeError(
                    f"loss is a {type(loss).__name__}, expected hig.losses.SquaredError(...) or an object "
                    "with values(y, batch) and gradient(y, batch); a function loss(y, batch) is for "
                    "hig.jax.objective and hig.torch.objective, which differentiate it"
                )
        return loss

    def batch(self, indices: Indices) -> Any:
        """Samples by their numbers, the training samples first."""
        if self._whole:
            return None
        train, test = self.data
        first = len(self.samples[0])
        return take(train, indices) if indices[0] < first else take(test, indices - first)

    def _call(self, method: str, theta: Array, batch: Any, *more: Array) -> Any:
        # Arrays belong to the call.
        given = (theta.copy(), *more) if self._whole else (theta.copy(), batch, *more)
        return getattr(self.model, method)(*given)

    def y(self, theta: Array, batch: Any, samples: int) -> Array:
        """y (samples, m)."""
        name = f"{self.name}.{self._method}"
        answer = self._call(self._method, theta, batch)
        y = self.answers.real(name, answer, "(samples, m)")
        return self._shaped(name, y, (samples, self.components), "(samples, m)")

    def _shaped(self, name: str, array: Array, shape: tuple[int, ...], meaning: str) -> Array:
        """An array that may leave out an axis of extent 1."""
        short = (
            shape[1:] if self._whole else tuple(e for i, e in enumerate(shape) if i != 1 or e > 1)
        )
        if array.shape not in (shape, short):
            told = short if self._whole else shape
            raise ValueError(f"{name} returned shape {array.shape}, expected {told} {meaning}")
        return array.reshape(shape)

    def jacobian(self, theta: Array, batch: Any, samples: int) -> Array:
        """∂y/∂θ (samples, m, p)."""
        m, p = self.components, len(theta)
        if self._has["jacobian"]:
            name = f"{self.name}.jacobian"
            answer = self.answers.real(
                name, self._call("jacobian", theta, batch), "(samples, m, p)"
            )
            return self._shaped(name, answer, (samples, m, p), "(samples, m, p)")
        if self._has["vjp"] and (samples * m <= p or not self._has["jvp"]):
            rows = np.empty((samples, m, p))
            for s in range(samples):
                one = batch if self._whole else take(batch, slice(s, s + 1))
                for i in range(m):
                    unit = np.zeros((1, m))
                    unit[0, i] = 1.0
                    rows[s, i] = self.pulled(theta, one, unit)
            return rows
        columns = np.empty((p, samples, m))
        for k in range(p):
            direction = np.zeros(p)
            direction[k] = 1.0
            columns[k] = self.pushed(theta, batch, direction, samples)
        return np.ascontiguousarray(columns.transpose(1, 2, 0))

    def pulled(self, theta: Array, batch: Any, w: Array) -> Array:
        """(∂y/∂θ)ᵀ·w (p,)."""
        if not self._has["vjp"]:
            jacobian = self.jacobian(theta, batch, len(w))
            return w.reshape(-1) @ jacobian.reshape(w.size, -1)
        given = w[0] if self._whole else w
        answer = self._call("vjp", theta, batch, given)
        return self.answers.array(f"{self.name}.vjp", answer, theta.shape, "(p,)")

    def pushed(self, theta: Array, batch: Any, v: Array, samples: int) -> Array:
        """∂y/∂θ·v (samples, m)."""
        if not self._has["jvp"]:
            return self.jacobian(theta, batch, samples) @ v
        name, shape = f"{self.name}.jvp", (samples, self.components)
        answer = self.answers.real(name, self._call("jvp", theta, batch, v), "(samples, m)")
        return self._shaped(name, answer, shape, "(samples, m)")

    def values(self, y: Array, batch: Any) -> Array:
        """The losses of samples (samples,)."""
        answer = self._loss.values(y, batch)
        return self.answers.array("loss.values", answer, (len(y),), "(samples,)")

    def gradient(self, y: Array, batch: Any) -> Array:
        """Their gradients in y (samples, m)."""
        answer = self._loss.gradient(y, batch)
        return self.answers.array("loss.gradient", answer, y.shape, "(samples, m)")

    def curvature(self, y: Array, batch: Any) -> Array | Exception:
        """Their curvatures in y (samples, m), or why there are none."""
        if not callable(getattr(self._loss, "curvature", None)):
            return TypeError(
                f"loss is a {type(self._loss).__name__} without curvature(y, batch), which this method "
                "needs: the second derivatives in the components of y (samples, m), above 0"
            )
        answer = self._loss.curvature(y, batch)
        told = self.answers.array("loss.curvature", answer, y.shape, "(samples, m)")
        return check_curvature(told) or told

    # What the compiled half asks.

    def outputs(self, theta: Array, indices: Indices) -> Array:
        """y (samples, m)."""
        return self.y(theta, self.batch(indices), len(indices))

    def loss(self, theta: Array, indices: Indices) -> float:
        """The mean loss, a part of the samples at a time."""
        total = 0.0
        for first in range(0, len(indices), _CHUNK):
            part = indices[first : first + _CHUNK]
            batch = self.batch(part)
            total += float(self.values(self.y(theta, batch, len(part)), batch).sum())
        return total / len(indices)

    def linearize(self, theta: Array, indices: Indices) -> tuple[_NumPyPoint, Array, Array, float]:
        """What is kept, y, ∂(loss)/∂y and the loss of a batch."""
        batch = self.batch(indices)
        y = self.y(theta, batch, len(indices))
        point = _NumPyPoint(self, theta, batch, y)
        g = self.gradient(y, batch) / len(indices)
        return point, y, g, float(self.values(y, batch).mean())

    # What a user asks.

    def parameters(self, theta: Array) -> Array:
        """θ itself."""
        return theta.copy()

    def flat(self, parameters: Any) -> Array:
        """θ itself."""
        return double("parameters", parameters, 1)

    def predict(self, theta: Array, batch: Any) -> Any:
        """What the model says."""
        return self._call(self._method, theta, batch)


class _NumPyPoint:
    """A batch at θ."""

    def __init__(self, of: _NumPyModel, theta: Array, batch: Any, y: Array) -> None:
        self._of, self._theta, self._batch, self._y = of, theta, batch, y

    def losses(self) -> Array:
        """Of each sample."""
        return self._of.values(self._y, self._batch)

    def curvature(self) -> Array | Exception:
        """Of the batch's loss (samples, m), or why there is none."""
        told = self._of.curvature(self._y, self._batch)
        return told if isinstance(told, Exception) else told / len(self._y)

    def rows(self, first: int, number: int) -> Array:
        """∂y/∂θ of some samples (samples, m, p)."""
        whole = self._of._whole or number == len(self._y)
        batch = self._batch if whole else take(self._batch, slice(first, first + number))
        return self._of.jacobian(self._theta, batch, number)

    def combined(self, first: int, number: int, weights: Array) -> Array:
        """Combinations of these rows, with weights (samples · k, m): (samples, k, p)."""
        return combinations(self.rows(first, number), weights)

    def vjp(self, w: Array) -> Array:
        """(∂y/∂θ)ᵀ·w (p,)."""
        return self._of.pulled(self._theta, self._batch, w)

    def jvp(self, v: Array) -> Array:
        """∂y/∂θ·v (samples, m)."""
        return self._of.pushed(self._theta, self._batch, v, len(self._y))


class _Squares:
    """Weighted squares of y, or of its difference from the target of the samples."""

    def __init__(self, loss: SquaredError, target: bool = False) -> None:
        _, weights = loss._told()
        self._factor, self._weights = loss.factor, np.asarray(weights or 1.0)
        self._target = target

    def _difference(self, y: Array, batch: Any) -> Array:
        if not self._target:
            return y
        named = isinstance(batch, dict) and "target" in batch
        if not named and not hasattr(batch, "target"):
            raise TypeError(
                f"a batch is a {type(batch).__name__} without a target: hig.losses.SquaredError needs "
                'train={"target": ..., ...} or a hig.Dataset'
            )
        target = np.asarray(batch["target"] if named else batch.target, dtype=np.float64)
        if target.size != y.size:
            raise ValueError(f"target has shape {target.shape}, expected {y.shape} as the output")
        return y - target.reshape(y.shape)

    def values(self, y: Array, batch: Any) -> Array:
        squares = self._weights * self._difference(y, batch) ** 2
        losses: Array = self._factor * squares.sum(axis=1)
        return losses

    def gradient(self, y: Array, batch: Any) -> Array:
        return 2.0 * self._factor * self._weights * self._difference(y, batch)

    def curvature(self, y: Array, batch: Any) -> Array:
        return np.full(y.shape, 2.0 * self._factor * self._weights)


def combinations(rows: Array, weights: Array) -> Array:
    """Σ_i weight_i · row_i of each sample: (samples, m, p) with (samples · k, m) → (samples, k, p)."""
    samples, m, _ = rows.shape
    return np.ascontiguousarray(weights.reshape(samples, -1, m) @ rows)


def check_curvature(curvature: Array) -> ValueError | None:
    """What is wrong with numbers that are not above 0.

    It is for the method to say whether that matters: some ask where they can do without.
    """
    if (curvature > 0).all():
        return None
    s, i = (int(k) for k in np.argwhere(~(curvature > 0))[0])
    return ValueError(
        f"the curvature of the loss is {curvature[s, i]:.6g} for sample {s} of the batch, component {i}: "
        "this method needs it above 0; hig, gn and adam do without, or curvature= tells what stands for "
        "it, such as ones"
    )


_METHODS = ("residual", "output", "jacobian", "vjp", "jvp")
_CHUNK = 4096
