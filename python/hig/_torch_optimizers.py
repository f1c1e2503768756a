"""Methods of the library as optimizers of PyTorch."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch

from . import _hig
from ._answers import Indices
from ._arrays import Array
from ._objective import check_curvature
from ._settings import Settings, count
from ._torch_factors import columns, tried
from ._torch_objective import check_parameter
from ._torch_tools import Blocks, Curvature, Rows, array, plain, pull, push, side_by_side, tensors
from .methods import ALL

_STATE = "hig"


class Residuals(torch.nn.modules.loss._Loss):
    """A loss for trainers that call ``backward()`` themselves, such as DeepXDE's, Lightning's and PINA's.

    It is called like the mean squared error, once for each block (equations, boundary, data), keeps the residual
    ``output - target`` for the optimizer that was given it, and answers the mean of its squares, which carries
    no more than the block's weight in the total loss: ``backward()`` then costs nothing. A trainer that takes the
    mean itself, as PINA's does, sets ``reduction`` to ``"none"`` and is answered the squares; it may weigh them
    one by one.

    >>> residuals = hig.torch.Residuals()
    >>> optimizer = hig.torch.AdaptiveHIG(net.parameters(), residuals=residuals)
    """

    def __init__(self) -> None:
        super().__init__()
        # Kept while an optimizer asks; an evaluation keeps nothing.
        self._blocks: list[tuple[Any, Any]] | None = None

    def forward(self, output: Any, target: Any = 0.0) -> Any:
        """The mean of the squares of ``output - target``, or the squares."""
        residual = plain(output - target)
        squares = residual.detach() ** 2
        if self.reduction == "mean":
            squares = squares.mean()
        elif self.reduction != "none":
            raise ValueError(
                f"reduction = {self.reduction!r} is not possible: it must be 'mean' or 'none'"
            )
        # A leaf, whose gradient will be the weight.
        value = squares.requires_grad_(torch.is_grad_enabled())
        if self._blocks is not None:
            self._blocks.append((residual, value))
        return value

    def of(self, closure: Callable[[], Any], trained: list[Any]) -> dict[str, tuple[float, Any]]:
        """The blocks of a closure with their weights, as the closure of a step answers them."""
        for parameter in trained:
            parameter.grad = None
        blocks: list[tuple[Any, Any]] = []
        self._blocks = blocks
        try:
            total = closure()
        finally:
            self._blocks = None
        if any(p.grad is not None and bool(p.grad.any()) for p in trained):
            raise ValueError(
                "the loss of the trainer has a part that is no residual, such as a penalty on the parameters: "
                "a step would not see it"
            )
        found = {}
        for i, (residual, value) in enumerate(blocks):
            if value.grad is None and isinstance(total, torch.Tensor) and total.requires_grad:
                (weight,) = torch.autograd.grad(total, value, retain_graph=True, allow_unused=True)
            else:
                weight = value.grad
            if weight is None or not bool(weight.any()):
                continue
            name, rows = f"block {i}", len(residual) if residual.ndim else 1
            if weight.ndim == 0:  # Of a mean.
                found[name] = float(weight) * rows / residual.numel(), residual
                continue
            most, least = float(weight.max()), float(weight.min())
            if least < 0:
                raise ValueError(
                    f"a square of {name} of the residuals has the weight {least} in the loss of the trainer, "
                    "expected at least 0"
                )
            if least < most:
                residual = residual * (weight / most).sqrt()
            found[name] = most * rows, residual
        if not found:
            raise ValueError(
                "the closure made no loss of the residuals that the optimizer was given: they are to be the "
                "loss of the trainer"
            )
        return found


class _Optimizer(torch.optim.Optimizer):
    """One step of a method for all parameters together.

    ``step(closure)`` calls the closure, with derivatives switched on and as often as the method looks
    elsewhere. It answers one of

    - residuals: a tensor, whose loss is the sum of its squares over the length of its first axis, or a
      dictionary of named blocks, each a tensor or a pair ``(weight, tensor)``, whose losses are added;
    - ``(outputs, loss)``: a tensor, or a dictionary, tuple or list of tensors, and a number that was computed
      from them.

    Neither ``backward()`` nor ``zero_grad()`` is called in it, and nothing in it is drawn at random. Where a
    trainer writes the closure, which calls both, ``residuals`` is the :class:`Residuals` that is its loss. The
    answer of ``step`` is the loss before it, ``diagnostics`` what it told.
    """

    _method: str
    #: Whether the length of a step is found and not given by ``lr``.
    _finds_length = False

    def __init__(
        self, params: Iterable[Any], settings: dict[str, Any], seed: int, residuals: Any
    ) -> None:
        if residuals is not None and not isinstance(residuals, Residuals):
            kind = type(residuals).__name__
            raise TypeError(f"residuals is a {kind}, expected hig.torch.Residuals()")
        self._residuals = residuals
        self._settings = settings
        self._seed = count("seed", seed)
        self._asked: Any = None
        self._factored: bool | None = None
        self.diagnostics: dict[str, float] = {}
        # Schedulers, which some trainers always have, ask for a learning rate.
        super().__init__(params, {"lr": 1.0, **settings})
        self._told(self.param_groups[0])

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds parameters; what is not their ``lr`` must be as in the other groups.

        Raises
        ------
        ValueError, TypeError
            A setting of its own; parameters to train that are empty, not real or not finite.
        """
        super().add_param_group(param_group)
        added = self.param_groups[-1]
        index = len(self.param_groups) - 1
        for i, parameter in enumerate(added["params"]):
            if parameter.requires_grad:
                check_parameter(f"params[{i}] of group {index}", parameter)
        self._told(added)

    def _told(self, group: dict[str, Any]) -> tuple[str, list[tuple[str, str]]]:
        """The method with the settings that its first group has now."""
        chosen = {name: group[name] for name in self._settings if name != "lr"}
        for other in self.param_groups:
            for name, value in chosen.items():
                if other[name] != value:
                    raise ValueError(
                        f"{name} is {other[name]} in one group and {value} in another: a step is one for all "
                        "parameters, and only lr may differ"
                    )
            rate = other.get("lr", 1.0)
            if not (np.isfinite(rate) and rate >= 0):
                raise ValueError(
                    f"lr = {rate} is not possible: it must be a finite number of at least 0"
                )
            if self._finds_length and not np.isclose(rate, 1.0):
                raise ValueError(
                    f"lr = {rate} is not possible: {type(self).__name__} finds the length of its steps itself, "
                    "leave lr at 1 and out of schedulers"
                )
        method: Settings = ALL[self._method](**chosen)
        return method.name, method._assignments()

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One update; see the class for what the closure answers.

        Raises
        ------
        ValueError, TypeError
            An answer that is no residuals and no outputs with a loss, that changes its shape, does not
            depend on the parameters, or differs when it is asked twice.
        FloatingPointError
            A loss or an update that is not finite; the parameters are then as before.
        """
        if closure is None:
            raise TypeError(
                f"{type(self).__name__}.step needs a closure that answers residuals or (outputs, loss)"
            )
        told = self._told(self.param_groups[0])
        groups = [
            (group.get("lr", 1.0), [p for p in group["params"] if p.requires_grad])
            for group in self.param_groups
        ]
        trained = [parameter for _, part in groups for parameter in part]
        if not trained:
            raise ValueError("none of the parameters requires a gradient")
        if self._residuals is not None:
            closure = functools.partial(self._residuals.of, closure, trained)
        model = _Closure(closure, trained, self._asked, self._factored)
        memory = self.state[trained[0]].get(_STATE)
        # Bytes as numbers: what is loaded has been given the type of the parameters.
        state = None if memory is None else bytes(memory.to(torch.uint8).tolist())
        try:
            delta, loss, left, diagnostics = _hig.step(
                model,
                told,
                None if self._finds_length else 1.0,
                self._seed,
                model.start,
                1,
                state,
            )
            scale = np.repeat(
                [rate for rate, part in groups for _ in part], [p.numel() for p in trained]
            )
            reached = model.start + scale * delta
        except BaseException:
            model.restore()
            raise
        model.put(reached)
        self._asked, self._factored = model.form, model.known
        self.diagnostics = dict(diagnostics)
        self.state[trained[0]][_STATE] = torch.tensor(list(left), dtype=torch.uint8)
        for parameter in trained:
            self.state[parameter]["step"] = self.state[parameter].get("step", 0) + 1
        return model.loss_before(loss)


class HIG(_Optimizer):
    """Half-inverse gradients, Schnell, Holl and Thuerey (2022): ``V·Λ^(-κ)·Uᵀ`` of the Jacobian of the outputs
    in all parameters, as :class:`hig.methods.HalfInverse`.

    ``lr`` may differ between groups and be changed by a scheduler. ``settings`` are those of
    :class:`hig.methods.HalfInverse`, such as ``exponent``, ``cutoff`` and ``treatment``.
    """

    _method = "hig"

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        *,
        residuals: Residuals | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(params, {"lr": lr, **_all(self._method, settings)}, seed, residuals)


class _WithoutRate(_Optimizer):
    """An optimizer that finds the length of its steps itself."""

    _finds_length = True

    def __init__(
        self,
        params: Iterable[Any],
        *,
        residuals: Residuals | None = None,
        seed: int = 0,
        **settings: Any,
    ) -> None:
        super().__init__(params, _all(self._method, settings), seed, residuals)


class LM(_WithoutRate):
    """Levenberg-Marquardt with damping by gain ratio, as :class:`hig.methods.LevenbergMarquardt`: for batches
    that stay the same, or are large. ``settings`` are those of that class."""

    _method = "lm"


class AdaptiveHIG(_WithoutRate):
    """The method ``adaptive-hig``, which searches damping, exponent and length itself and has no learning
    rate to choose. ``settings`` are those of :class:`hig.methods.AdaptiveHalfInverse`."""

    _method = "adaptive-hig"


def _all(name: str, settings: dict[str, Any]) -> dict[str, Any]:
    """All settings of a method, checked; the learning rate of `hig` is ``lr``."""
    method: Any = ALL[name](**settings)
    found = {field.name: getattr(method, field.name) for field in dataclasses.fields(method)}
    if name == "hig":
        del found["learning_rate"]
    return found


class _Closure:
    """A closure as the compiled half asks a model: all of its answer belongs to one sample."""

    held: int | None = None
    factors = None
    combines = True
    summed = False
    name = "closure"

    def __init__(
        self, closure: Callable[[], Any], trained: list[Any], asked: Any, known: bool | None
    ) -> None:
        # Whether rows of J belong to points of their own.
        self.known = known
        self._closure, self.trained = closure, trained
        self.views = [(str(i), list(p.shape)) for i, p in enumerate(trained)]
        self._before = [parameter.detach().clone() for parameter in trained]
        self._widths = [parameter.numel() for parameter in trained]
        self.start: Array = np.concatenate([array(part).ravel() for part in self._before])
        self.rows = Rows()
        self.form: tuple[str, Blocks] | None = asked
        self._at = self.start
        self._answer = self._asked()
        if asked is None:
            self._check_repeats()
        self.components = self._answer[0].shape[1]

    def _check_repeats(self) -> None:
        first, again = self._answer[0], self._asked()[0]
        if not torch.equal(torch.nan_to_num(first), torch.nan_to_num(again)):
            raise ValueError(
                "closure answers differently when it is asked twice: draw batches and random numbers before "
                "step, and say module.eval() where there is dropout"
            )

    def put(self, theta: Array) -> None:
        """Sets the parameters."""
        self._at = theta.copy()
        with torch.no_grad():
            parts = torch.split(torch.from_numpy(self._at), self._widths)
            for parameter, part in zip(self.trained, parts):
                parameter.copy_(part.reshape(parameter.shape))

    def restore(self) -> None:
        """Sets them as they were."""
        with torch.no_grad():
            for parameter, before in zip(self.trained, self._before):
                parameter.copy_(before)

    def loss_before(self, loss: float) -> Any:
        """As a tensor of the type of the parameters."""
        like = self.trained[0]
        return torch.tensor(loss, dtype=like.dtype, device=like.device)

    def _asked(self) -> tuple[Any, Any]:
        """y (1, n) with its graph, and its loss."""
        with torch.enable_grad():
            answer = self._closure()
        kind, tree, read = _read(answer)
        if self.form is None:
            self.form = kind, Blocks(tree, "closure's answer", whole=True)
            if not self.form[1].flat(tree).requires_grad:
                raise TypeError(
                    "closure's answer does not depend on the parameters: detach(), item(), NumPy and "
                    "torch.no_grad() cut the derivative"
                )
        if kind != self.form[0]:
            raise TypeError(f"closure answers {kind} now and answered {self.form[0]} before")
        blocks = self.form[1]
        # A batch of another size is another matrix.
        if [tuple(leaf.shape) for _, leaf in tensors(tree, "")] != blocks.shapes:
            blocks = Blocks(tree, "closure's answer", whole=True)
            if self._at is not self.start:
                shapes = ", ".join(str(shape) for shape in blocks.shapes)
                before = ", ".join(str(shape) for shape in self.form[1].shapes)
                raise ValueError(
                    f"closure's answer has the shapes {shapes} elsewhere and {before} before: it must keep "
                    "them within a step"
                )
            self.form = kind, blocks
        return blocks.flat(tree), read(tree, blocks)

    def at(self, theta: Array) -> tuple[Any, Any]:
        """y (1, n) and its loss. The graph of the last point alone is there: setting parameters ends others."""
        if not np.array_equal(theta, self._at):
            self.put(theta)
            self._answer = self._asked()
        return self._answer

    def factored(self, theta: Array) -> Any:
        """J (n, p), where its rows belong to points of their own."""
        y, _ = self.at(theta)
        assert self.form is not None
        blocks = columns(self.form[1].shapes)
        made, self.known = tried(y[0], self.trained, blocks, self.known)
        return made

    # What the compiled half asks.

    def outputs(self, theta: Array, indices: Indices) -> Array:
        """y (1, n)."""
        return array(self.at(theta)[0])

    def loss(self, theta: Array, indices: Indices) -> float:
        """The loss."""
        return float(self.at(theta)[1].value)

    def linearize(self, theta: Array, indices: Indices) -> tuple[Any, Array, Array, float]:
        """What is kept, y, the gradient of the loss in it and the loss."""
        y, loss = self.at(theta)
        return _ClosurePoint(self, theta), array(y), array(loss.gradient()), float(loss.value)


class _ClosurePoint:
    """A closure at θ."""

    def __init__(self, of: _Closure, theta: Array) -> None:
        self._of, self._theta, self._trained = of, theta, of.trained

    def losses(self) -> None:
        """There are no samples."""

    def curvature(self) -> Array | Exception:
        """Of the loss in y (1, n), or why there is none."""
        try:
            told = array(self._of.at(self._theta)[1].curvature())
        except RuntimeError as error:
            return error
        return check_curvature(told) or told

    def rows(self, first: int, number: int) -> Array:
        """∂y/∂θ (1, n, p)."""
        factored = self._of.factored(self._theta)
        if factored is not None:
            return array(factored)[None]
        n, p = self._of.components, len(self._theta)
        if n > p:
            units = np.eye(p)
            return np.ascontiguousarray(np.stack([self.jvp(u) for u in units], axis=-1))
        return self.combined(0, 1, np.eye(n))

    def combined(self, first: int, number: int, weights: Array) -> Array:
        """Combinations of these rows, with weights (k, n): (1, k, p)."""
        factored = self._of.factored(self._theta)
        if factored is not None:
            return array(torch.as_tensor(weights, device=factored.device) @ factored)[None]
        y, _ = self._of.at(self._theta)
        return array(self._of.rows(y, self._trained, y.new_tensor(weights)[:, None]))[None]

    def vjp(self, w: Array) -> Array:
        """(∂y/∂θ)ᵀ·w (p,)."""
        y, _ = self._of.at(self._theta)
        return array(side_by_side(pull(y, self._trained, y.new_tensor(w)), self._trained))

    def jvp(self, v: Array) -> Array:
        """∂y/∂θ·v (1, n)."""
        y, _ = self._of.at(self._theta)
        parts = np.split(v, np.cumsum([p.numel() for p in self._trained])[:-1])
        along = [p.new_tensor(part).reshape(p.shape) for p, part in zip(self._trained, parts)]
        return array(push(y, self._trained, along))


class _Squares:
    """Σ weight·r²/rows of blocks."""

    def __init__(self, y: Any, factors: Any) -> None:
        self._y, self._factors = y.detach(), factors
        self.value = (factors * self._y**2).sum()

    def gradient(self) -> Any:
        """In y."""
        return 2.0 * self._factors * self._y

    def curvature(self) -> Any:
        """In y."""
        return 2.0 * self._factors


class _OfOutputs:
    """A loss whose graph goes on from outputs."""

    def __init__(self, tree: Any, loss: Any) -> None:
        found = tensors(tree, "its outputs")
        self._found, self._places = [leaf for _, leaf in found], [place for place, _ in found]
        self._loss = loss
        self.value = loss.detach()
        self._slopes: Any = None

    def _slope(self) -> Any:
        if self._slopes is None:
            self._slopes = pull(self._loss, self._found, None, again=True)
            for place, slope in zip(self._places, self._slopes):
                if slope is None:
                    raise TypeError(
                        f"the loss of the closure was not computed from {place}: answer the very tensors that "
                        "the loss reads, and no others"
                    )
        return self._slopes

    def gradient(self) -> Any:
        """In y."""
        return side_by_side(self._slope(), self._found)[None]

    def curvature(self) -> Any:
        """In y, the diagonal of the second derivative."""
        return _Diagonal(self._slope(), self._found).told()


class _Diagonal(Curvature):
    """Of a gradient in several tensors."""

    def __init__(self, slopes: Any, found: list[Any]) -> None:
        self._slopes, self._found = slopes, found
        self._y = side_by_side(found, found).detach()[None]

    def along(self, v: Any) -> Any:
        """The second derivative times v."""
        parts = torch.split(v[0], [leaf.numel() for leaf in self._found])
        pairs = [
            (slope, part.reshape(slope.shape).to(slope.dtype))
            for slope, part in zip(self._slopes, parts)
            if slope is not None and slope.requires_grad
        ]
        if not pairs:
            return torch.zeros_like(self._y)
        slopes, alongs = zip(*pairs)
        told = torch.autograd.grad(
            slopes, self._found, alongs, retain_graph=True, allow_unused=True
        )
        return side_by_side(told, self._found)[None]

    def told(self) -> Any:
        """The diagonal (1, n)."""
        return self.diagonal(self.is_diagonal(), separable=False)


def _read(answer: Any) -> tuple[str, Any, Callable[[Any, Blocks], Any]]:
    """What a closure answers: the kind, the tensors of y, and their loss."""
    if isinstance(answer, tuple) and len(answer) == 2:
        outputs, loss = answer
        if not _is_number(loss) or not loss.dtype.is_floating_point:
            told = type(loss).__name__
            if isinstance(loss, torch.Tensor):
                told = f"{loss.dtype} of shape {tuple(loss.shape)}"
            raise TypeError(
                f"closure answers (outputs, loss) whose loss is {told}, expected a tensor with one real number"
            )
        if not loss.requires_grad:
            raise TypeError(
                "the loss of the closure does not depend on the outputs: detach(), item(), NumPy and "
                "torch.no_grad() cut its derivative"
            )
        return "(outputs, loss)", outputs, lambda tree, _: _OfOutputs(tree, loss.reshape(()))
    if _is_number(answer) or isinstance(answer, float):
        raise TypeError(
            "closure answers one number, expected residuals, or (outputs, loss) without backward(): a step is "
            "made of the Jacobian of outputs, which a loss alone does not tell"
        )
    if isinstance(answer, torch.Tensor):
        return "residuals", answer, lambda tree, blocks: _squares(tree, blocks, None)
    if isinstance(answer, dict) and answer:
        weights, tree = [], {}
        for name, block in answer.items():
            weight, block = block if isinstance(block, tuple) and len(block) == 2 else (1.0, block)
            weights.append(_weight(name, weight))
            tree[name] = block
        return "named residuals", tree, lambda tree, blocks: _squares(tree, blocks, weights)
    kind = type(answer).__name__
    raise TypeError(
        f"closure answers a {kind}, expected residuals (a tensor, or a dictionary of tensors or of pairs of a "
        "weight and a tensor) or (outputs, loss)"
    )


def _is_number(value: Any) -> bool:
    return isinstance(value, torch.Tensor) and value.ndim == 0


def _weight(name: Any, weight: Any) -> float:
    try:
        found = float(weight)
    except (TypeError, ValueError):
        found = float("nan")
    if not (np.isfinite(found) and found > 0):
        raise ValueError(
            f"the weight of block {name!r} is {weight}, expected a finite number above 0"
        )
    return found


def _squares(tree: Any, blocks: Blocks, weights: list[float] | None) -> _Squares:
    found = [leaf for _, leaf in tensors(tree, "")]
    given = weights or [1.0]
    factors = [
        plain(leaf)
        .new_full((leaf.numel(),), weight / max(len(leaf) if leaf.ndim else 1, 1))
        .double()
        for leaf, weight in zip(found, given)
    ]
    return _Squares(blocks.flat(tree), torch.cat(factors)[None])
