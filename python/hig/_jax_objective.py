"""An objective from a JAX function."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all

from ._answers import Indices
from ._arrays import Array
from ._jax_factors import Factors
from ._objective import Objective, check_curvature, read_samples, samples_of
from ._optional import jax_double
from ._sampled import PROBE, ROWS, SampledModel


def objective(
    predict: Callable[..., Any],
    loss: Callable[..., Any],
    parameters: Any,
    train: Any = None,
    test: Any = None,
    *,
    per_sample: bool = True,
    curvature: Callable[..., Any] | None = None,
    sharding: Any = None,
) -> Objective:
    """An objective from JAX functions that every method of the library trains, see :func:`hig.train`.

    Parameters
    ----------
    predict : ``predict(parameters, batch) -> y``, network and physics together: an array, or a pytree of
        arrays such as a dictionary of named blocks, each with the samples of the batch along its first axis
    loss : ``loss(y, batch)``, a number: the mean over the samples of the batch (their sum is found out, as
        is a loss that is neither and can then only be evaluated for all samples at once)
    parameters : where the training starts: any pytree of real arrays, float32 or float64
    train : samples to train on: a pytree of arrays, each with the samples along its first axis. Without
        any, the functions are ``predict(parameters)`` and ``loss(y)``, and all of y belongs to one sample
    test : samples to judge by, of the same form; the training samples without
    per_sample : whether y of a sample depends on no other sample. J is then differentiated sample by
        sample, which is by far the fastest. It is tried on three samples. With False, as batch
        normalisation needs it, a row of J costs a pass through the whole batch
    curvature : ``curvature(y, batch)``, of the form of y: what stands for the second derivative of the loss
        of a sample in each component of y, above 0. Without, these derivatives themselves

    sharding : a ``jax.sharding.NamedSharding`` that divides the first axis, as in
        ``NamedSharding(mesh, PartitionSpec("devices"))``: batches whose samples it divides evenly lie on all devices,
        each of which passes its own samples, and rows, products and gradients are gathered everywhere. The devices
        may belong to several processes (``jax.distributed``), which all run the same program; a training then ends
        after updates or epochs, the first process writes the checkpoint, and all go on from it

    Everything is computed in float64, whatever the precision of the parameters and of JAX;
    ``objective.parameters(result.weights)``, which is ``result.parameters``, has the form and the types of
    the given ones. Functions are compiled once for each size of a batch. Integer arrays may stand in
    samples, not among the parameters.

    Raises
    ------
    ValueError, TypeError
        Leaves, shapes and types that do not fit, by their paths.
    """
    arguments = predict, loss, parameters, train, test
    settings = {"per_sample": per_sample, "curvature": curvature, "sharding": sharding}
    adapter = JaxModel(*arguments, **settings)
    return Objective._of(adapter, _again, (arguments, settings))


def _again(arguments: tuple[Any, ...], settings: dict[str, Any]) -> Objective:
    return objective(*arguments, **settings)


def _path(name: str, path: Any) -> str:
    return name + jax.tree_util.keystr(path)


def _named(path: Any) -> str:
    """A path as the name of an array in a file: ``layers.0.w``."""
    parts = [
        getattr(part, "key", getattr(part, "name", getattr(part, "idx", None))) for part in path
    ]
    return ".".join(str(part) for part in parts) or "theta"


def check_leaf(place: str, leaf: Any) -> None:
    """Refuses a leaf of the parameters that is no array of real numbers."""
    if callable(leaf) or (
        not hasattr(leaf, "dtype") and not isinstance(leaf, (float, int, complex))
    ):
        raise TypeError(
            f"{place} is a {type(leaf).__name__}, expected an array; equinox.partition(model, "
            "equinox.is_inexact_array) takes functions out of a model"
        )
    # bfloat16 is of another kind for NumPy, and keys of random numbers have none there.
    dtype = leaf.dtype if hasattr(leaf, "dtype") else np.asarray(leaf).dtype
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"{place} has dtype {dtype}, expected real numbers (float32 or float64); leave it out of the "
            "parameters and let predict close over it"
        )


def check_finite(place: str, array: Any) -> None:
    """Refuses a leaf of the parameters with a number that is not."""
    # bfloat16 is none of NumPy's own types.
    finite = np.isfinite(np.asarray(array, dtype=np.float64))
    if not finite.all():
        at = tuple(int(i) for i in np.argwhere(~finite)[0])
        raise ValueError(f"{place} is {array[at]} at {at}: every number must be finite")


def check_outputs(name: str, tree: Any) -> list[tuple[str, Any]]:
    """The arrays of y with where they stand, which must be real."""
    found = jax.tree_util.tree_flatten_with_path(tree)[0]
    if not found:
        raise TypeError(f"{name} returned no arrays")
    placed = [(_path(f"y of {name}", path), leaf) for path, leaf in found]
    for place, leaf in placed:
        if not jnp.issubdtype(leaf.dtype, jnp.floating):
            raise TypeError(f"{place} has dtype {leaf.dtype}, expected real numbers")
    return placed


def check_loss(value: Any) -> None:
    """Refuses what is not one real number."""
    if not hasattr(value, "shape"):
        raise TypeError(f"loss returned a {type(value).__name__}, expected one real number")
    if value.shape != () or not jnp.issubdtype(value.dtype, jnp.floating):
        raise TypeError(
            f"loss returned {value.dtype} of shape {value.shape}, expected one real number"
        )


def check_derivatives(name: str, predict: Any, loss: Any, parameters: Any, batch: Any) -> None:
    """Refuses functions whose derivative is 0 whatever they are given, from shapes alone: no update would change
    anything."""
    y = jax.eval_shape(predict, parameters, batch)
    value = jax.eval_shape(loss, y, batch)

    def pulled(function: Any) -> Any:
        return lambda w, at, batch: jax.vjp(lambda at: function(at, batch), at)[1](w)

    cut = "jax.lax.stop_gradient, rounding and comparisons cut it"
    if not _reaches(pulled(predict), y, parameters, batch):
        raise TypeError(f"y of {name} has no derivative in the parameters: {cut}")
    if not _reaches(pulled(loss), value, y, batch):
        raise TypeError(f"loss has no derivative in y: {cut}")


def _reaches(function: Any, first: Any, *others: Any) -> bool:
    """Whether what a function answers is made of its first argument."""
    closed: Any = jax.make_jaxpr(function)(first, *others)
    number = len(jax.tree.leaves(first))
    reached = {id(atom) for atom in closed.jaxpr.invars[:number]}
    for eqn in closed.jaxpr.eqns:
        if any(id(atom) in reached for atom in eqn.invars):
            reached.update(id(atom) for atom in eqn.outvars)
    return any(id(atom) in reached for atom in closed.jaxpr.outvars)


class _Parameters:
    """A pytree of real arrays as a vector θ."""

    def __init__(self, parameters: Any) -> None:
        found, self.form = jax.tree_util.tree_flatten_with_path(parameters)
        if not found:
            raise ValueError("parameters have no leaves, expected a pytree of arrays")
        self.views: list[tuple[str, list[int]]] = []
        self.types: list[Any] = []
        parts = []
        for path, leaf in found:
            place = _path("parameters", path)
            array = self._leaf(place, leaf)
            self.types.append(array.dtype)
            self.views.append((_named(path), list(array.shape)))
            parts.append(np.asarray(array, dtype=np.float64).ravel())
        self.start: Array = np.concatenate(parts)
        self.ends = np.cumsum([part.size for part in parts])[:-1].tolist()

    @staticmethod
    def _leaf(place: str, leaf: Any) -> Any:
        check_leaf(place, leaf)
        array = np.asarray(leaf)
        if array.size == 0:
            raise ValueError(
                f"{place} has shape {array.shape}: it is empty; leave it out of the parameters and let predict "
                "close over it"
            )
        check_finite(place, array)
        return array

    def tree(self, theta: Any) -> Any:
        """The pytree, in the precision of θ; inside of compiled functions as well."""
        parts = jnp.split(theta, self.ends)
        shaped = [part.reshape(shape) for part, (_, shape) in zip(parts, self.views)]
        return jax.tree_util.tree_unflatten(self.form, shaped)

    def typed(self, theta: Array) -> Any:
        """The pytree with the types of the given one."""
        parts = np.split(theta, self.ends)
        shaped = [
            jnp.asarray(part.reshape(shape).astype(dtype))
            for part, (_, shape), dtype in zip(parts, self.views, self.types)
        ]
        return jax.tree_util.tree_unflatten(self.form, shaped)

    def flat(self, parameters: Any) -> Array:
        """θ of such a pytree."""
        other = _Parameters(parameters)
        if str(other.form) != str(self.form) or other.views != self.views:
            raise ValueError(f"parameters have the arrays {other.views}, expected {self.views}")
        return other.start


def _joined(leaves: list[Any], axis: int) -> Any:
    """Arrays side by side, each flattened from an axis on."""
    return jnp.concatenate([leaf.reshape(*leaf.shape[:axis], -1) for leaf in leaves], axis=axis)


class JaxModel(SampledModel):
    """JAX functions as the compiled half asks them."""

    _predict: Any
    _loss: Any
    _curvature: Any
    #: Why the loss has no second derivative in y, where that is so.
    no_curvature: TypeError | None = None
    #: Whether predict has a reverse derivative alone.
    reverse_only = False
    #: Whether the second derivative of the loss mixes no components; none where that was not tried.
    _diagonal: bool | None = None

    def __init__(
        self,
        predict: Any,
        loss: Any,
        parameters: Any,
        train: Any,
        test: Any,
        *,
        per_sample: bool,
        curvature: Any,
        sharding: Any = None,
    ) -> None:
        self._sharding = _checked(sharding)
        self._begin(predict, loss, parameters, train, test, per_sample, curvature)
        with jax_double():
            self._read_samples(train, test)
            self._read_outputs()
            self._functions()
            self._try()
            self._factor()

    @classmethod
    def of_shapes(
        cls, predict: Any, loss: Any, parameters: Any, batch: Any, per_sample: Any, curvature: Any
    ) -> JaxModel:
        """For compiled code, where nothing can be tried: from arrays like the parameters, and the shapes of
        a batch. Its loss is that of the batch, whether a mean or a sum."""
        model = cls.__new__(cls)
        model._sharding = None
        model._begin(predict, loss, parameters, batch, None, per_sample, curvature)
        model._data = batch
        with jax_double():
            model._read_outputs()
            model._functions()
            model._factor()
            model._try_derivatives()
        return model

    def _begin(
        self,
        predict: Any,
        loss: Any,
        parameters: Any,
        train: Any,
        test: Any,
        per_sample: Any,
        curvature: Any,
    ) -> None:
        SampledModel.__init__(self, predict, loss, per_sample, curvature, train, test)
        if self._whole:
            self._predict = lambda parameters, _: predict(parameters)
            self._loss = lambda y, _: loss(y)
            self._curvature = None if curvature is None else lambda y, _: curvature(y)
        else:
            self._predict, self._loss, self._curvature = predict, loss, curvature
        self._parameters = _Parameters(parameters)
        self.views, self.start = self._parameters.views, self._parameters.start

    def _read_samples(self, train: Any, test: Any) -> None:
        if self._whole:
            self.samples, self._data = (range(1), range(1)), None
            return
        found = self._leaves("train", train)
        judged = found if test is None else self._leaves("test", test)
        self.samples, self.told = read_samples(found, judged)
        # One behind the other, so that a sample has one number.
        together = found if test is None else _pairs(found, judged)
        self._moved = len(self.samples[0]) if test is not None else 0
        arrays = [self._placed(_wide(leaf)) for _, leaf in together]
        form = jax.tree_util.tree_structure(train)
        self._data = jax.tree_util.tree_unflatten(form, arrays)

    def _placed(self, array: Any) -> Any:
        """Samples where they belong."""
        if self._sharding is None:
            return jnp.asarray(array)
        return jax.device_put(array, self._lying(len(array)))

    def _lying(self, samples: int) -> Any:
        """How so many samples lie on the devices: divided where they can be, or else on all of them."""
        devices = _parts_of(self._sharding)
        return self._sharding if samples % devices == 0 else _everywhere(self._sharding)

    def _jit(self, function: Any) -> Any:
        """Compiled, with what it answers on every device."""
        if self._sharding is None:
            return jax.jit(function)
        return jax.jit(function, out_shardings=_everywhere(self._sharding))

    @staticmethod
    def _leaves(name: str, tree: Any) -> list[tuple[str, Any]]:
        found = jax.tree_util.tree_flatten_with_path(tree)[0]
        for path, leaf in found:
            if hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
                raise TypeError(
                    f"{_path(name, path)} has dtype {leaf.dtype}, expected arrays of numbers: give "
                    "jax.random.key_data(keys), and let predict call jax.random.wrap_key_data"
                )
        leaves = [(_path(name, path), np.asarray(leaf)) for path, leaf in found]
        for place, leaf in leaves:
            if leaf.dtype.kind == "O":
                raise TypeError(f"{place} has dtype {leaf.dtype}, expected arrays of numbers")
        return leaves

    def agree(self, checkpoint: str | None, seconds: float | None) -> str | None:
        """Where this process keeps the checkpoint, for processes that train together: all go on from that of
        the first one."""
        if self._sharding is None or jax.process_count() == 1:
            return checkpoint
        if seconds is not None:
            raise ValueError(
                f"seconds = {seconds} is not possible: processes that train together end after the same update; "
                "give updates or epochs"
            )
        if checkpoint is None:
            return None
        number, given = jax.process_index(), Path(checkpoint)
        own = given.with_suffix(f".process{number}{given.suffix}") if number else given
        for suffix in (given.suffix, f".previous{given.suffix}"):
            _copied_from_first(given.with_suffix(suffix), own.with_suffix(suffix))
        return str(own)

    def put(self, batch: Any) -> int:
        """Makes a batch of any size all of the samples; answers how many there are."""
        found = self._leaves("batch", batch)
        number = samples_of(found, "batch")
        form = jax.tree_util.tree_structure(batch)
        if str(form) != str(jax.tree_util.tree_structure(self._data)):
            raise ValueError(f"batch has the form {form}, another than the first one had")
        with jax_double():
            arrays = [jnp.asarray(_wide(leaf)) for _, leaf in found]
            self._data = jax.tree_util.tree_unflatten(form, arrays)
        self.samples = range(number), range(number)
        self._moved = 0
        return number

    def _batch(self, numbers: Any) -> Any:
        return None if self._whole else jax.tree.map(lambda leaf: leaf[numbers], self._data)

    def _read_outputs(self) -> None:
        """The form of y, for two sizes of a batch."""
        theta = _shape(self.start.shape, jnp.float64)
        sizes = (1, 1) if self._whole else (2, PROBE)

        def shapes(size: int) -> Any:
            batch = jax.tree.map(
                lambda leaf: _shape((size, *leaf.shape[1:]), leaf.dtype), self._data
            )
            ask = lambda t, b: self._predict(self._parameters.tree(t), b)  # noqa: E731
            return jax.eval_shape(ask, theta, batch)

        first, second = (shapes(size) for size in sizes)
        found, self._form = check_outputs(self.name, first), jax.tree_util.tree_structure(first)
        others = jax.tree_util.tree_leaves(second)
        for (place, leaf), other in zip(found, others):
            if leaf.dtype.itemsize < 8:
                self.answers.warn(self.name, leaf.dtype)
            if self._whole:
                continue
            self._check_widths(place, sizes, (leaf.shape, other.shape))
        self._shapes = [leaf.shape[0 if self._whole else 1 :] for _, leaf in found]
        self._types = [leaf.dtype for _, leaf in found]
        widths = [int(np.prod(shape)) for shape in self._shapes]
        self._ends = np.cumsum(widths)[:-1].tolist()
        self.components = sum(widths)
        if self.components == 0:
            raise ValueError(f"y of {self.name} is empty")

    # Pure functions, of θ and arrays.

    def _flat_y(self, tree: Any) -> Any:
        """(samples, m)."""
        leaves = jax.tree_util.tree_leaves(tree)
        if self._whole:
            leaves = [leaf[None] for leaf in leaves]
        return _joined(leaves, 1).astype(jnp.float64)

    def _y_tree(self, flat: Any) -> Any:
        parts = jnp.split(flat, self._ends, axis=1)
        lead = () if self._whole else (flat.shape[0],)
        shaped = [
            part.reshape(*lead, *shape).astype(dtype)
            for part, shape, dtype in zip(parts, self._shapes, self._types)
        ]
        return jax.tree_util.tree_unflatten(self._form, shaped)

    def _y(self, parameters: Any, batch: Any) -> Any:
        return self._flat_y(self._predict(parameters, batch))

    def _value(self, y: Any, batch: Any) -> Any:
        """The loss of a batch from y (samples, m)."""
        return self._loss(self._y_tree(y), batch)

    def _share(self, y: Any, batch: Any) -> Any:
        """What a sample's loss has of that of its batch: all of a sum, or its part of a mean."""
        if self._diagonal is not None:
            return 1.0 if self.summed else 1.0 / len(y)
        ones = jax.tree.map(lambda leaf: leaf[:, None], batch)
        single, value = jax.vmap(self._value)(y[:, None], ones), self._value(y, batch)
        sum_, mean = jnp.sum(single), jnp.mean(single)
        return jnp.where(jnp.abs(value - sum_) < jnp.abs(value - mean), 1.0, 1.0 / len(y))

    def _one(self, parameters: Any, sample: Any) -> Any:
        """y (m,) of a single sample."""
        return self._y(parameters, jax.tree.map(lambda leaf: leaf[None], sample))[0]

    def _gathered(self, data: Any, numbers: Any) -> Any:
        if data is None:
            return None
        batch = jax.tree.map(lambda leaf: leaf[numbers], data)
        if self._sharding is None:
            return batch
        lie: Any = jax.lax.with_sharding_constraint
        return lie(batch, self._lying(len(numbers)))

    def _functions(self) -> None:
        tree, gathered = self._parameters.tree, self._gathered
        p = len(self.start)
        forward = self.components > p

        def flat_rows(jacobian: Any, axis: int) -> Any:
            return _joined(jax.tree_util.tree_leaves(jacobian), axis)

        def outputs(theta: Any, data: Any, numbers: Any) -> Any:
            return self._y(tree(theta), gathered(data, numbers))

        def loss(theta: Any, data: Any, numbers: Any) -> Any:
            batch = gathered(data, numbers)
            return jnp.asarray(self._loss(self._predict(tree(theta), batch), batch), jnp.float64)

        def linearize(theta: Any, data: Any, numbers: Any) -> Any:
            batch = gathered(data, numbers)
            y = self._y(tree(theta), batch)
            value, g = jax.value_and_grad(self._value)(y, batch)
            return y, g, jnp.asarray(value, jnp.float64)

        def rows(theta: Any, data: Any, numbers: Any) -> Any:
            parameters, batch = tree(theta), gathered(data, numbers)
            if forward:
                derive = jax.vmap(jax.jacfwd(lambda t, s: self._one(tree(t), s)), (None, 0))
                return derive(theta, batch)
            derive = jax.vmap(jax.jacrev(self._one), (None, 0))
            return flat_rows(derive(parameters, batch), 2)

        def combined(theta: Any, data: Any, numbers: Any, weights: Any) -> Any:
            def of_sample(parameters: Any, sample: Any, weights: Any) -> Any:
                _, pull = _vjp(lambda q: self._one(q, sample), parameters)
                return flat_rows(jax.vmap(lambda w: pull(w)[0])(weights), 1)

            parameters, batch = tree(theta), gathered(data, numbers)
            return jax.vmap(of_sample, (None, 0, 0))(parameters, batch, weights)

        def pulled(theta: Any, data: Any, numbers: Any, w: Any) -> Any:
            batch = gathered(data, numbers)
            _, pull = _vjp(lambda q: self._y(q, batch), tree(theta))
            return flat_rows(pull(w)[0], 0)

        def pulled_each(theta: Any, data: Any, numbers: Any, w: Any) -> Any:
            batch = gathered(data, numbers)
            _, pull = _vjp(lambda q: self._y(q, batch), tree(theta))
            return jax.lax.map(
                lambda each: flat_rows(pull(each)[0], 0), w, batch_size=min(ROWS, len(w))
            )

        def columns(theta: Any, data: Any, numbers: Any) -> Any:
            batch = gathered(data, numbers)
            derive = jax.jacfwd(lambda t: self._y(tree(t), batch))
            return derive(theta)

        def pushed(theta: Any, data: Any, numbers: Any, v: Any) -> Any:
            batch = gathered(data, numbers)
            return jax.jvp(lambda t: self._y(tree(t), batch), (theta,), (v,))[1]

        def pushed_by_pulls(theta: Any, data: Any, numbers: Any, v: Any) -> Any:
            # J·v is the derivative of w ↦ Jᵀw along v, for functions with a reverse derivative alone.
            zero = jnp.zeros((len(numbers), self.components))
            return _vjp(lambda w: pulled(theta, data, numbers, w), zero)[1](v)[0]

        def curvature(y: Any, data: Any, numbers: Any) -> Any:
            batch = gathered(data, numbers)
            if self._curvature is not None:
                told = self._flat_y(self._curvature(self._y_tree(y), batch))
                return told * self._share(y, batch)
            slope: Any = jax.grad(self._value)

            def along(v: Any) -> Any:
                return jax.jvp(lambda y: slope(y, batch), (y,), (v,))[1]

            def one_by_one(y: Any) -> Any:
                def of(place: Any) -> Any:
                    unit = jnp.zeros(y.size).at[place].set(1.0).reshape(y.shape)
                    return along(unit).ravel()[place]

                found = jax.lax.map(of, jnp.arange(y.size), batch_size=ROWS)
                return found.reshape(y.shape)

            if self._diagonal is None:
                # Found out where it is asked: whether one direction tells all of them.
                first, second = np.random.default_rng(0).uniform(1.0, 2.0, size=(2, *y.shape))
                told, other = along(first) / first, along(second) / second
                near = 1e-9 * jnp.abs(told) + 1e-12 * jnp.max(jnp.abs(told))
                return jax.lax.cond(
                    jnp.all(jnp.abs(told - other) <= near), lambda: told, lambda: one_by_one(y)
                )
            if self._diagonal:
                return along(jnp.ones_like(y))
            if self._separable:
                units = jnp.broadcast_to(jnp.eye(y.shape[1])[:, None], (y.shape[1], *y.shape))
            else:
                return one_by_one(y)
            return jax.lax.map(lambda unit: unit * along(unit), units, batch_size=ROWS).sum(axis=0)

        self._outputs, self._loss_of = self._jit(outputs), self._jit(loss)
        self._linearize, self._rows = self._jit(linearize), self._jit(rows)
        self._combined, self._pulled = self._jit(combined), self._jit(pulled)
        self._pulled_each, self._columns = self._jit(pulled_each), self._jit(columns)
        self._pushed, self._pushed_by_pulls = self._jit(pushed), self._jit(pushed_by_pulls)
        self._curved = self._jit(curvature)
        self._forward = forward

    def _factor(self) -> None:
        """Finds how rows of J factor, where that takes fewer numbers than J."""
        if not self._per_sample or self._forward:
            return
        shapes = [_shape(shape, jnp.float64) for _, shape in self._parameters.views]
        parameters = jax.tree.unflatten(self._parameters.form, shapes)
        sample = jax.tree.map(lambda leaf: _shape(leaf.shape[1:], leaf.dtype), self._data)
        found = Factors(self._one, parameters, sample)
        if found.numbers >= self.components * len(self.start):
            return
        tree, gathered = self._parameters.tree, self._gathered

        def factors(theta: Any, data: Any, numbers: Any) -> Any:
            return found.of_batch(self._one, tree(theta), gathered(data, numbers))

        self._factors, self.factors = self._jit(factors), found.compiled()

    def _try_derivatives(self) -> None:
        """Whether there are second derivatives of the loss, and a forward derivative of predict."""
        batch = jax.tree.map(lambda leaf: _shape(leaf.shape, leaf.dtype), self._data)
        samples = jax.tree.leaves(batch)[0].shape[0]
        self._check_functions(batch, samples)
        y, numbers = _shape((samples, self.components), jnp.float64), np.arange(samples)
        theta = _shape(self.start.shape, jnp.float64)
        try:
            jax.eval_shape(self._curved, y, batch, numbers)
        except TypeError as error:
            self.no_curvature = error
        try:
            jax.eval_shape(self._pushed, theta, batch, numbers, theta)
        except TypeError as error:
            if "custom_vjp" not in str(error):
                raise
            self.reverse_only = True

    def check_independent(self, y: Array, alone: Array) -> None:
        """Refuses samples that depend on each other, by y of a batch and of its samples alone."""
        self._check_independent(y, alone, all(dtype.itemsize >= 8 for dtype in self._types))

    def _check_functions(self, batch: Any, samples: int) -> None:
        """Refuses a loss that is no number, and functions without derivatives."""
        y = _shape((samples, self.components), jnp.float64)
        check_loss(jax.eval_shape(self._value, y, batch))
        if (
            not self._forward
        ):  # Where columns of J are fewer, a predict may have a forward derivative alone.
            theta = _shape(self.start.shape, jnp.float64)
            predict: Any = lambda t, b: self._y(self._parameters.tree(t), b)  # noqa: E731
            check_derivatives(self.name, predict, self._value, theta, batch)

    def _try(self) -> None:
        """Finds out how samples make a loss, and holds an assumption against three of them."""
        # Without another sample nothing can depend on one.
        numbers = np.arange(min(PROBE, len(self.samples[0])))
        batch, shape = self._batch(numbers), (len(numbers), self.components)
        self._check_functions(batch, len(numbers))
        random = np.random.default_rng(0)
        # Of different numbers: signs could hide a mixture of components.
        normal, along = random.normal(size=shape), random.uniform(1.0, 2.0, size=(2, *shape))

        def answers(theta: Any, batch: Any, normal: Any) -> Any:
            y = self._y(self._parameters.tree(theta), batch)
            # Away from y, at which a loss may be 0.
            size = jnp.max(jnp.abs(y), initial=0.0, where=jnp.isfinite(y))
            moved = jnp.nan_to_num(y) + jnp.where(size > 0, size, 1.0) * normal
            told = [y, moved, self._value(moved, batch)]
            if self._whole:
                return [*told, told[-1][None], y]
            # Each as a batch of one.
            ones = jax.tree.map(lambda leaf: leaf[:, None], batch)
            told.append(jax.vmap(self._value)(moved[:, None], ones))
            if self._per_sample:
                told.append(jax.vmap(self._one, (None, 0))(self._parameters.tree(theta), batch))
            return told

        told = self._jit(answers)(self.start, batch, normal)
        y, moved, value, single, *alone = (np.asarray(part) for part in told)
        if self._per_sample:
            double = all(dtype.itemsize >= 8 for dtype in self._types)
            self._check_independent(y, alone[0], double)
        self._read_reduction(float(value), single)
        self._diagonal = self._curvature is None and self._has_diagonal(moved, batch, along)

    def _has_diagonal(self, y: Any, batch: Any, along: Any) -> bool:
        """Whether the second derivative of the loss mixes no components."""

        def products(y: Any, batch: Any, along: Any) -> Any:
            slope: Any = jax.grad(self._value)
            return [jax.jvp(lambda y: slope(y, batch), (y,), (v,))[1] / v for v in along]

        try:
            told = self._jit(products)(y, batch, along)
            first, second = (np.asarray(product) for product in told)
        except TypeError:
            # A loss without a second derivative; methods that need one say so.
            return False
        return bool(np.allclose(first, second, rtol=1e-9, atol=1e-12 * np.abs(first).max()))

    # What the compiled half asks.

    def outputs(self, theta: Array, indices: Indices) -> Array:
        """y (samples, m)."""
        with jax_double():
            parts = self._parts(indices, self._per_sample)
            answers = [self._outputs(theta, self._data, part) for part in parts]
            return self._numpy(jnp.concatenate(answers) if len(answers) > 1 else answers[0])

    def loss(self, theta: Array, indices: Indices) -> float:
        """The mean loss."""
        with jax_double():
            total = 0.0
            for part in self._parts(indices, self._per_sample and self._separable):
                value = float(self._loss_of(theta, self._data, part))
                total += value if self.summed else value * len(part)
            return total / len(indices)

    def linearize(self, theta: Array, indices: Indices) -> tuple[Any, Array, Array, float]:
        """What is kept, y, ∂(loss)/∂y and the loss of a batch."""
        with jax_double():
            # Arrays of NumPy are the same on all devices of all processes.
            place: Any = jnp.asarray if self._sharding is None else np.asarray
            point = _JaxPoint(self, place(theta), place(self._numbers(indices)))
            y, g, value = self._linearize(point.theta, self._data, point.numbers)
            point.y = y
            return point, self._numpy(y), self._numpy(g), float(value)

    @staticmethod
    def _numpy(array: Any) -> Array:
        return np.ascontiguousarray(array, dtype=np.float64)

    # What a user asks.

    def parameters(self, theta: Array) -> Any:
        """The pytree with its types."""
        doubles = any(np.dtype(dtype).itemsize == 8 for dtype in self._parameters.types)
        if not doubles:
            return self._parameters.typed(theta)
        with jax_double():
            return self._parameters.typed(theta)

    def flat(self, parameters: Any) -> Array:
        """θ of a pytree."""
        return self._parameters.flat(parameters)

    def predict(self, theta: Array, batch: Any) -> Any:
        """y in its own form, in NumPy arrays."""
        with jax_double():
            wide = jax.tree.map(lambda leaf: jnp.asarray(_wide(np.asarray(leaf))), batch)
            answer = self._predict(self._parameters.tree(jnp.asarray(theta)), wide)
            return jax.tree.map(np.asarray, answer)


class _JaxPoint:
    """A batch at θ."""

    y: Any

    def __init__(self, of: JaxModel, theta: Any, numbers: Any) -> None:
        self._of, self.theta, self.numbers = of, theta, numbers

    def losses(self) -> Array | None:
        """Of each sample, where the loss is made of those."""
        of = self._of
        if not of._separable:
            return None
        with jax_double():
            single = [
                of._value(self.y[s : s + 1], of._batch(self.numbers[s : s + 1]))
                for s in range(len(self.y))
            ]
            return of._numpy(jnp.stack(single))

    def curvature(self) -> Array | Exception:
        """Of the batch's loss (samples, m), or why there is none."""
        of = self._of
        with jax_double():
            try:
                told = of._numpy(of._curved(self.y, of._data, self.numbers))
            except TypeError as error:
                return error
        return check_curvature(told) or told

    def rows(self, first: int, number: int) -> Array:
        """∂y/∂θ of some samples (samples, m, p)."""
        of = self._of
        some = self.numbers[first : first + number] if number < len(self.numbers) else self.numbers
        with jax_double():
            if of._per_sample:
                return of._numpy(of._rows(self.theta, of._data, some))
            m = of.components
            if of._forward and number == len(self.numbers):
                return of._numpy(of._columns(self.theta, of._data, self.numbers))
            units = np.zeros((number * m, len(self.numbers), m))
            places = np.arange(number * m)
            units[places, first + places // m, places % m] = 1.0
            rows = of._pulled_each(self.theta, of._data, self.numbers, units)
            return of._numpy(rows).reshape(number, m, -1)

    def factors(self) -> tuple[list[tuple[Array, Array]], Array]:
        """What the rows of all samples are made of."""
        of = self._of
        with jax_double():
            _, factors, rest = of._factors(self.theta, of._data, self.numbers)
            return [(of._numpy(a), of._numpy(d)) for a, d in factors], of._numpy(rest)

    def combined(self, first: int, number: int, weights: Array) -> Array:
        """Combinations of these rows, with weights (samples · k, m): (samples, k, p)."""
        of, m = self._of, weights.shape[1]
        given = weights.reshape(number, -1, m)
        some = self.numbers[first : first + number] if number < len(self.numbers) else self.numbers
        with jax_double():
            if of._per_sample:
                return of._numpy(of._combined(self.theta, of._data, some, given))
            k = given.shape[1]
            spread = np.zeros((number * k, len(self.numbers), m))
            places = np.arange(number * k)
            spread[places, first + places // k] = weights
            rows = of._pulled_each(self.theta, of._data, self.numbers, spread)
            return of._numpy(rows).reshape(number, k, -1)

    def vjp(self, w: Array) -> Array:
        """(∂y/∂θ)ᵀ·w (p,)."""
        with jax_double():
            return self._of._numpy(self._of._pulled(self.theta, self._of._data, self.numbers, w))

    def jvp(self, v: Array) -> Array:
        """∂y/∂θ·v (samples, m)."""
        of = self._of
        with jax_double():
            if not of.reverse_only:
                try:
                    return of._numpy(of._pushed(self.theta, of._data, self.numbers, v))
                except TypeError as error:
                    if "custom_vjp" not in str(error):
                        raise
                    of.reverse_only = True
            return of._numpy(of._pushed_by_pulls(self.theta, of._data, self.numbers, v))


def _shape(shape: Any, dtype: Any) -> Any:
    make: Any = jax.ShapeDtypeStruct
    return make(shape, dtype)


def _copied_from_first(place: Path, own: Path) -> None:
    """Has the contents of a file of the first process, or no file, on all."""
    first = jax.process_index() == 0
    found = place.read_bytes() if first and place.is_file() else None
    told = np.array(-1 if found is None else len(found), np.int32)
    length = int(broadcast_one_to_all(told, is_source=first))
    if length < 0:
        if not first:
            own.unlink(missing_ok=True)
        return
    given = np.zeros(length, np.uint8) if found is None else np.frombuffer(found, np.uint8)
    contents = broadcast_one_to_all(given, is_source=first)
    if not first:
        draft = own.with_suffix(".part")
        draft.write_bytes(np.asarray(contents, np.uint8).tobytes())
        draft.replace(own)


def _checked(sharding: Any) -> Any:
    if sharding is None:
        return None
    named = isinstance(sharding, jax.sharding.NamedSharding)
    spec = tuple(sharding.spec) if named else ()
    if not spec or spec[0] is None or any(part is not None for part in spec[1:]):
        raise TypeError(
            f"sharding = {sharding!r} is not possible: expected a jax.sharding.NamedSharding that divides the "
            'first axis, such as NamedSharding(mesh, PartitionSpec("devices"))'
        )
    return sharding


def _parts_of(sharding: Any) -> int:
    axes = sharding.spec[0]
    axes = axes if isinstance(axes, tuple) else (axes,)
    return int(np.prod([sharding.mesh.shape[axis] for axis in axes]))


def _everywhere(sharding: Any) -> Any:
    nowhere: Any = jax.sharding.PartitionSpec
    return jax.sharding.NamedSharding(sharding.mesh, nowhere())


def _vjp(function: Any, at: Any) -> Any:
    return jax.vjp(function, at)


def _wide(leaf: Any) -> Any:
    """Real numbers in double precision; others as they are."""
    return leaf.astype(np.float64) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf


def _pairs(train: list[tuple[str, Any]], test: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [
        (place, np.concatenate([_wide(a), _wide(b)])) for (place, a), (_, b) in zip(train, test)
    ]
