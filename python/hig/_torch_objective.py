"""An objective from a PyTorch module."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch

from ._answers import Indices
from ._arrays import Array
from ._data import Dataset
from ._objective import (
    Objective,
    check_curvature,
    leaves,
    mapped,
    read_samples,
    take,
)
from ._sampled import PROBE, SampledModel
from ._torch_factors import columns, tried
from ._torch_tools import (
    Blocks,
    Curvature,
    Rows,
    array,
    pull,
    push,
    side_by_side,
    tensors,
    torch_double,
    transforms,
)


def objective(
    module: torch.nn.Module,
    predict: Callable[..., Any],
    loss: Callable[..., Any],
    train: Any = None,
    test: Any = None,
    *,
    per_sample: bool = True,
    curvature: Callable[..., Any] | None = None,
) -> Objective:
    """An objective from a PyTorch module that every method of the library trains, see :func:`hig.train`.

    Parameters
    ----------
    module : the network, or all of them. What requires a gradient is trained; parameters that stand in
        several places count once. Its values are where the training starts; a copy is trained
    predict : ``predict(module, batch) -> y``, network and physics together: a tensor, or a dictionary, tuple
        or list of tensors (named blocks), each with the samples of the batch along its first axis. The module
        that it is given is the one to call
    loss : ``loss(y, batch)``, a number: the mean over the samples of the batch (their sum is found out, as
        is a loss that is neither and can then only be evaluated for all samples at once)
    train : samples to train on: a tensor or array, or a dictionary, tuple or list of them, each with the
        samples along its first axis. Without any, the functions are ``predict(module)`` and ``loss(y)``,
        and all of y belongs to one sample
    test : samples to judge by, of the same form; the training samples without
    per_sample : whether y of a sample depends on no other sample. J is then differentiated sample by
        sample: by ``torch.func.vmap`` where ``predict`` is open to it, otherwise from the factors of a few
        passes backwards where all parameters are those of dense layers, or one after the other. It
        is tried on three samples. With False a row of J costs a pass through the whole batch
    curvature : ``curvature(y, batch)``, of the form of y: what stands for the second derivative of the loss
        of a sample in each component of y, above 0. Without, these derivatives themselves

    Everything is computed in float64 where the module lies, whatever the precision of its parameters.
    ``result.parameters`` is a state that ``module.load_state_dict`` takes, with the types of the module.

    Raises
    ------
    ValueError, TypeError
        Parameters, shapes and types that do not fit, by their paths; a module that is random or reads
        statistics of its batch.
    """
    if not isinstance(module, torch.nn.Module):
        raise TypeError(f"module is a {type(module).__name__}, expected a torch.nn.Module")
    arguments = module, predict, loss, train, test
    settings = {"per_sample": per_sample, "curvature": curvature}
    adapter = TorchModel(*arguments, **settings)  # type: ignore[arg-type]
    # What is made again starts where this one does, wherever the module has gone since.
    kept = (adapter.module(), *arguments[1:])
    return Objective._of(adapter, _again, (kept, settings))


def _again(arguments: tuple[Any, ...], settings: dict[str, Any]) -> Objective:
    return objective(*arguments, **settings)


def check_parameter(place: str, parameter: Any) -> None:
    """Refuses a parameter that cannot be trained."""
    if torch.nn.parameter.is_lazy(parameter):
        raise ValueError(f"{place} has no values yet: call the module once before")
    if not parameter.dtype.is_floating_point:
        raise TypeError(
            f"{place} has dtype {parameter.dtype}, expected real numbers; requires_grad_(False) keeps it "
            "as it is"
        )
    if parameter.numel() == 0:
        raise ValueError(f"{place} has shape {tuple(parameter.shape)}: it is empty")
    finite = torch.isfinite(parameter.detach())
    if not bool(finite.all()):
        at = tuple(int(i) for i in torch.nonzero(~finite)[0])
        value = float(parameter.detach()[at])
        raise ValueError(f"{place} is {value} at {at}: every number must be finite")


class _Parameters:
    """The trained parameters of a copy of a module, in double precision, as a vector θ."""

    def __init__(self, module: torch.nn.Module) -> None:
        places: dict[int, list[tuple[Any, str, str]]] = {}
        found: dict[int, Any] = {}
        kinds = set()
        for path, part in module.named_modules():
            for name, parameter in part._parameters.items():
                if parameter is None:
                    continue
                whole = f"{path}.{name}" if path else name
                kinds.add(parameter.device)
                if parameter.requires_grad:
                    check_parameter(f"module.{whole}", parameter)
                    found[id(parameter)] = parameter
                    places.setdefault(id(parameter), []).append((part, name, whole))
        if not found:
            raise ValueError("module has no parameter that requires a gradient")
        if len(kinds) > 1:
            told = ", ".join(sorted(map(str, kinds)))
            raise ValueError(f"module lies on {told}: it must be on one device")
        self.device = kinds.pop()
        self._places = list(places.values())
        self.views = [
            (places[key][0][2], list(parameter.shape)) for key, parameter in found.items()
        ]
        parts = [array(parameter).ravel() for parameter in found.values()]
        self.start: Array = np.concatenate(parts)
        self._widths = [part.size for part in parts]
        self._state = {
            name: value.detach().clone() if isinstance(value, torch.Tensor) else value
            for name, value in module.state_dict().items()
        }
        self._numbers = {whole for same in self._places for _, _, whole in same}
        self.module = module.double()
        self._rest = self._shaped(torch.as_tensor(self.start, device=self.device))

    def _shaped(self, theta: Any) -> list[Any]:
        parts = torch.split(theta, self._widths)
        return [part.reshape(shape) for part, (_, shape) in zip(parts, self.views)]

    def _put(self, parts: list[Any]) -> None:
        for same, value in zip(self._places, parts):
            for part, name, _ in same:
                part._parameters[name] = value

    def leaves(self, theta: Any) -> list[Any]:
        """The parameters at θ, to differentiate in each of them."""
        return [part.detach().requires_grad_() for part in self._shaped(theta)]

    def called(self, theta: Any, call: Callable[[torch.nn.Module], Any]) -> Any:
        """What a function makes of the module at θ, which may be traced, or at :meth:`leaves`."""
        self._put(theta if isinstance(theta, list) else self._shaped(theta))
        try:
            return call(self.module)
        finally:
            self._put(self._rest)

    def typed(self, theta: Array) -> dict[str, Any]:
        """A state of the module with the types of the given one."""
        state = {
            name: value.clone() if isinstance(value, torch.Tensor) else value
            for name, value in self._state.items()
        }
        for same, value in zip(self._places, self._shaped(torch.as_tensor(theta))):
            for _, _, whole in same:
                if whole in state:
                    kind = state[whole]
                    state[whole] = value.to(device=kind.device, dtype=kind.dtype).clone()
        return state

    def flat(self, parameters: Any) -> Array:
        """θ of a module or of its state."""
        if isinstance(parameters, torch.nn.Module):
            parameters = parameters.state_dict()
        if not isinstance(parameters, Mapping):
            kind = type(parameters).__name__
            raise TypeError(f"parameters are a {kind}, expected a module or its state_dict()")
        parts = []
        for name, shape in self.views:
            if name not in parameters:
                raise ValueError(f"parameters have no {name}")
            value = torch.as_tensor(parameters[name])
            if list(value.shape) != shape:
                found = tuple(value.shape)
                raise ValueError(f"{name} has shape {found}, expected {tuple(shape)}")
            parts.append(array(value).ravel())
        return np.concatenate(parts)


def _told(tensor: Any) -> Any:
    """A tensor that NumPy can read, which has no bfloat16."""
    found = tensor.detach().cpu()
    return found.float() if found.dtype == torch.bfloat16 else found


class TorchModel(SampledModel):
    """A module as the compiled half asks it."""

    def __init__(
        self,
        module: torch.nn.Module,
        predict: Any,
        loss: Any,
        train: Any,
        test: Any,
        *,
        per_sample: bool,
        curvature: Any,
    ) -> None:
        super().__init__(predict, loss, per_sample, curvature, train, test)
        self._check_mode(module)
        try:
            copied = copy.deepcopy(module)
        except RuntimeError as error:
            raise TypeError(f"module cannot be copied: {error}") from error
        self._parameters = _Parameters(copied)
        self.views, self.start = self._parameters.views, self._parameters.start
        self._device = self._parameters.device
        if self._whole:
            self._predict: Any = lambda module, _: predict(module)
            self._loss: Any = lambda y, _: loss(y)
            self._curvature = None if curvature is None else lambda y, _: curvature(y)
        else:
            self._predict, self._loss, self._curvature = predict, loss, curvature
        self._rows_of = Rows()
        # Whether rows of J are found from the factors of a pass backwards.
        self._factored: bool | None = None
        with torch_double():
            self._read_samples(train, test)
            self._read_outputs()
            self._functions()
            self._try()

    def module(self) -> torch.nn.Module:
        """A module of the given types that stands at the start."""
        made = copy.deepcopy(self._parameters.module)
        state = self._parameters.typed(self.start)
        wanted = {name: value.dtype for name, value in state.items() if hasattr(value, "dtype")}
        for path, part in made.named_modules():
            for kind in (part._parameters, part._buffers):
                for name, value in kind.items():
                    dtype = wanted.get(f"{path}.{name}" if path else name)
                    if value is None or dtype is None:
                        continue
                    trained = kind is part._parameters
                    cast = value.detach().to(dtype)
                    kind[name] = (
                        torch.nn.Parameter(cast, self._trained(path, name)) if trained else cast
                    )
        made.load_state_dict(state)
        return made

    def _trained(self, path: str, name: str) -> bool:
        return (f"{path}.{name}" if path else name) in self._parameters._numbers

    def _check_mode(self, module: torch.nn.Module) -> None:
        for path, part in module.named_modules():
            kind, place = type(part).__name__, f"module.{path}" if path else "module"
            if not part.training:
                continue
            if isinstance(part, torch.nn.modules.dropout._DropoutNd) and part.p > 0:
                raise ValueError(
                    f"{place} is a {kind} that is training, so that its answers are random: say "
                    "module.eval() before"
                )
            batch = isinstance(part, torch.nn.modules.batchnorm._BatchNorm)
            if batch and self._per_sample:
                raise ValueError(
                    f"{place} is a {kind} that is training, so that a sample depends on its batch: say "
                    "module.eval() before, or per_sample=False"
                )

    # Samples.

    def _read_samples(self, train: Any, test: Any) -> None:
        if self._whole:
            self.samples, self._data = (range(1), range(1)), None
            return
        found = self._leaves("train", train)
        judged = found if test is None else self._leaves("test", test)
        self.samples, self.told = read_samples(found, judged)
        # One behind the other, so that a sample has one number.
        data = mapped(self._tensor, train)
        if test is not None:
            self._moved = len(self.samples[0])
            others = iter(self._tensor(leaf) for _, leaf in tensors(test, "test"))
            data = mapped(lambda leaf: torch.cat([leaf, next(others)]), data)
        self._data = data

    @staticmethod
    def _leaves(name: str, tree: Any) -> list[tuple[str, Any]]:
        for place, leaf in tensors(tree, name):
            if isinstance(leaf, Dataset):
                raise TypeError(
                    f"{place} is a Dataset, expected a tensor or a dictionary, tuple or list of tensors"
                )
        detached = mapped(
            lambda leaf: _told(leaf) if isinstance(leaf, torch.Tensor) else leaf, tree
        )
        found = leaves(detached, name)
        for place, leaf in found:
            if leaf.dtype.kind not in "fiub":
                raise TypeError(f"{place} has dtype {leaf.dtype}, expected tensors of real numbers")
        return found

    def _tensor(self, leaf: Any) -> Any:
        found = torch.as_tensor(leaf).detach().to(self._device)
        return found.double() if found.dtype.is_floating_point else found

    def _batch(self, numbers: Any) -> Any:
        if self._whole:
            return None
        chosen = torch.as_tensor(np.asarray(numbers), device=self._device)
        return take(self._data, chosen)

    # y and its derivatives.

    def _y(self, theta: Any, batch: Any) -> Any:
        """(samples, m)."""
        tree = self._parameters.called(theta, lambda module: self._predict(module, batch))
        return self._form.flat(tree)

    def _value(self, y: Any, batch: Any) -> Any:
        """The loss of a batch from y (samples, m)."""
        value = self._loss(self._form.tree(y), batch)
        if not isinstance(value, torch.Tensor):
            raise TypeError(
                f"loss returned a {type(value).__name__}, expected a tensor with one real number"
            )
        if value.numel() != 1 or not value.dtype.is_floating_point:
            raise TypeError(
                f"loss returned {value.dtype} of shape {tuple(value.shape)}, expected one real number"
            )
        return value.reshape(()).double()

    def _theta(self, theta: Array, traced: bool = False) -> Any:
        tensor = torch.tensor(theta, dtype=torch.float64, device=self._device)
        return tensor.requires_grad_(traced)

    def _read_outputs(self) -> None:
        """The form of y, for two sizes of a batch."""
        sizes = (1, 1) if self._whole else (2, PROBE)
        theta, place = self._theta(self.start, traced=True), f"y of {self.name}"

        def form(size: int) -> tuple[Any, Blocks]:
            batch = self._batch(np.arange(size) % len(self.samples[0]))
            tree = self._parameters.called(theta, lambda module: self._predict(module, batch))
            return tree, Blocks(tree, place, whole=True)

        tree, first = form(sizes[0])
        second = form(sizes[1])[1]
        if not self._whole:
            for where, shape, other in zip(first.places, first.shapes, second.shapes):
                self._check_widths(where, sizes, (shape, other))
        for kind in first.types:
            if kind.itemsize < 8 if hasattr(kind, "itemsize") else kind != torch.float64:
                self.answers.warn(self.name, str(kind).removeprefix("torch."))
        self._form = Blocks(tree, place, self._whole)
        self.components = self._form.width
        if not self._form.flat(tree).requires_grad:
            raise TypeError(
                f"{place} does not depend on the parameters: predict must call the module that it is given, "
                "and detach(), item(), NumPy and torch.no_grad() cut the derivative"
            )

    def _functions(self) -> None:
        try:
            self._func = transforms()
        except ModuleNotFoundError:
            self._func = None
            return
        form = self._data

        def one(theta: Any, *sample: Any) -> Any:
            given = iter(sample)
            return self._y(theta, mapped(lambda _: next(given)[None], form))[0]

        def row_combinations(theta: Any, weights: Any, *sample: Any) -> Any:
            _, pulled = self._func.vjp(lambda t: one(t, *sample), theta)
            return self._func.vmap(lambda w: pulled(w)[0])(weights)

        leaves = len(tensors(form, ""))
        self._one_of = one
        self._each_combined = self._func.vmap(row_combinations, (None, 0, *[0] * leaves))

    def _try(self) -> None:
        """Finds out how samples make a loss, and holds assumptions against three of them."""
        numbers = np.arange(min(PROBE, len(self.samples[0])))
        batch, theta = self._batch(numbers), self._theta(self.start, traced=True)
        y = self._y(theta, batch)
        size = float(torch.nan_to_num(y.detach().abs(), nan=0.0, posinf=0.0).max())
        normal = np.random.default_rng(0).normal(size=tuple(y.shape))
        # Away from y, at which a loss may be 0.
        moved = torch.nan_to_num(y.detach()) + (size or 1.0) * torch.as_tensor(normal).to(y)
        of_moved = self._value(moved.clone().requires_grad_(), batch)
        self._check_depends(of_moved)
        value = float(of_moved)
        single = np.array([value])
        ones = [self._batch(numbers[s : s + 1]) for s in range(len(numbers))]
        if not self._whole:
            single = np.array(
                [float(self._value(moved[s : s + 1], one)) for s, one in enumerate(ones)]
            )
        self._check_repeats(y, self._y(theta, batch))
        if self._per_sample:
            alone = torch.cat([self._y(theta, one) for one in ones])
            double = all(kind == torch.float64 for kind in self._form.types)
            self._check_independent(array(y), array(alone), double)
        self._read_reduction(value, single)
        self._diagonal = self._curvature is None and self._has_diagonal(moved, batch)
        self._mapped = self._per_sample and self._func is not None and self._is_open(theta, numbers)

    @staticmethod
    def _check_depends(value: Any) -> None:
        if not value.requires_grad:
            raise TypeError(
                "loss does not depend on y: detach(), item(), NumPy and torch.no_grad() cut its derivative"
            )

    def _check_repeats(self, y: Any, again: Any) -> None:
        if not torch.equal(torch.nan_to_num(y), torch.nan_to_num(again)):
            raise ValueError(
                f"{self.name} answers differently when it is asked twice: draw random numbers before, and "
                "give them with the samples"
            )

    def _has_diagonal(self, y: Any, batch: Any) -> bool:
        try:
            return Curvature(lambda y: self._value(y, batch), y).is_diagonal()
        except RuntimeError:
            # A loss without a second derivative; methods that need one say so.
            return False

    def _is_open(self, theta: Any, numbers: Any) -> bool:
        """Whether samples can be mapped over."""
        m = self.components
        units = torch.eye(m, dtype=torch.float64, device=self._device)[: min(m, 2)]
        weights = units.expand(len(numbers), *units.shape)
        try:
            rows = self._combined_at_once(theta.detach(), numbers, weights)
        except Exception:
            # Whatever fails in there works without: `predict` has answered these samples.
            return False
        return bool(torch.allclose(rows, self._combined_by_one(theta, numbers, weights), 1e-6))

    def _combined_at_once(self, theta: Any, numbers: Any, weights: Any) -> Any:
        leaves = [leaf for _, leaf in tensors(self._batch(numbers), "")]
        return self._each_combined(theta, weights, *leaves).detach()

    def _combined_by_factors(self, theta: Any, numbers: Any, weights: Any) -> Any:
        of = self._parameters.leaves(theta)
        y = self._y(of, self._batch(numbers))
        made, self._factored = tried(y.reshape(-1), of, columns([tuple(y.shape)]), self._factored)
        return None if made is None else weights @ made.reshape(*y.shape, -1)

    def _combined_by_one(self, theta: Any, numbers: Any, weights: Any) -> Any:
        theta = theta.detach().requires_grad_()
        found = []
        for s, each in enumerate(weights):
            y = self._y(theta, self._batch(numbers[s : s + 1]))
            found.append(self._rows_of(y, [theta], each[:, None]))
        return torch.stack(found)

    # What the compiled half asks.

    def outputs(self, theta: Array, indices: Indices) -> Array:
        """y (samples, m)."""
        with torch_double():
            at = self._theta(theta)
            parts = self._parts(indices, self._per_sample)
            return np.concatenate([array(self._y(at, self._batch(part))) for part in parts])

    def loss(self, theta: Array, indices: Indices) -> float:
        """The mean loss."""
        with torch_double():
            total, at = 0.0, self._theta(theta)
            for part in self._parts(indices, self._per_sample and self._separable):
                batch = self._batch(part)
                value = float(self._value(self._y(at, batch).detach(), batch))
                total += value if self.summed else value * len(part)
            return total / len(indices)

    def linearize(self, theta: Array, indices: Indices) -> tuple[Any, Array, Array, float]:
        """What is kept, y, ∂(loss)/∂y and the loss of a batch."""
        with torch_double():
            point = _TorchPoint(self, self._theta(theta, traced=True), self._numbers(indices))
            y = point.y.detach().requires_grad_()
            value = self._value(y, point.batch)
            self._check_depends(value)
            (g,) = torch.autograd.grad(value, y)
            return point, array(y), array(g), float(value)

    # What a user asks.

    def parameters(self, theta: Array) -> dict[str, Any]:
        """A state of the module."""
        return self._parameters.typed(theta)

    def flat(self, parameters: Any) -> Array:
        """θ of a module or of its state."""
        return self._parameters.flat(parameters)

    def predict(self, theta: Array, batch: Any) -> Any:
        """y in its own form, in NumPy arrays."""
        with torch_double():
            given = mapped(self._tensor, batch)
            at = self._theta(theta)
            answer = self._parameters.called(at, lambda module: self._predict(module, given))
            return mapped(lambda leaf: leaf.detach().cpu().numpy(), answer)


class _TorchPoint:
    """A batch at θ."""

    def __init__(self, of: TorchModel, theta: Any, numbers: Any) -> None:
        self._of, self.theta, self.numbers = of, theta, numbers
        self.batch = of._batch(numbers)
        self.y = of._y(theta, self.batch)

    def losses(self) -> Array | None:
        """Of each sample, where the loss is made of those."""
        of = self._of
        if not of._separable:
            return None
        with torch_double():
            y = self.y.detach()
            single = [
                float(of._value(y[s : s + 1], of._batch(self.numbers[s : s + 1])))
                for s in range(len(y))
            ]
            return np.array(single)

    def curvature(self) -> Array | Exception:
        """Of the batch's loss (samples, m), or why there is none."""
        of, y = self._of, self.y.detach()
        with torch_double():
            if of._curvature is not None:
                told = array(of._form.flat(of._curvature(of._form.tree(y), self.batch)))
                told = told if of.summed else told / len(y)
            else:
                try:
                    found = Curvature(lambda y: of._value(y, self.batch), y)
                    told = array(found.diagonal(of._diagonal, of._separable))
                except RuntimeError as error:
                    return error
        return check_curvature(told) or told

    def rows(self, first: int, number: int) -> Array:
        """∂y/∂θ of some samples (samples, m, p)."""
        m = self._of.components
        if m > len(self.theta):
            return self._by_columns(first, number)
        return self.combined(first, number, np.tile(np.eye(m), (number, 1)))

    def _by_columns(self, first: int, number: int) -> Array:
        """By one pass for each parameter."""
        units = np.eye(len(self.theta))
        columns = np.stack([self.jvp(unit)[first : first + number] for unit in units], axis=-1)
        return np.ascontiguousarray(columns)

    def combined(self, first: int, number: int, weights: Array) -> Array:
        """Combinations of these rows, with weights (samples · k, m): (samples, k, p)."""
        of, m = self._of, weights.shape[1]
        with torch_double():
            given = torch.as_tensor(weights, device=of._device).reshape(number, -1, m)
            some = self.numbers[first : first + number]
            if of._mapped:
                return array(of._combined_at_once(self.theta.detach(), some, given))
            if of._per_sample:
                made = of._combined_by_factors(self.theta, some, given)
                if made is None:
                    made = of._combined_by_one(self.theta, some, given)
                return array(made)
            k = given.shape[1]
            spread = given.new_zeros(number, k, *self.y.shape)
            for s in range(number):
                spread[s, :, first + s] = given[s]
            rows = of._rows_of(self.y, [self.theta], spread.reshape(number * k, *self.y.shape))
            return array(rows).reshape(number, k, -1)

    def vjp(self, w: Array) -> Array:
        """(∂y/∂θ)ᵀ·w (p,)."""
        with torch_double():
            given = torch.as_tensor(w, device=self._of._device)
            return array(side_by_side(pull(self.y, [self.theta], given), [self.theta]))

    def jvp(self, v: Array) -> Array:
        """∂y/∂θ·v (samples, m)."""
        with torch_double():
            given = torch.as_tensor(v, device=self._of._device)
            return array(push(self.y, [self.theta], [given]))
