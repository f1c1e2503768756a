"""What the faces for PyTorch share: blocks of tensors as one matrix, derivatives, double precision."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch

from ._arrays import Array

# Rows of J that one pass backwards is asked for at once.
ROWS = 64


def transforms() -> Any:
    """``torch.func``, which is ``functorch`` before PyTorch 2."""
    try:
        return importlib.import_module("torch.func")
    except ModuleNotFoundError:
        return importlib.import_module("functorch")


@contextmanager
def torch_double() -> Iterator[None]:
    """New tensors in double precision, and derivatives switched on, whatever surrounds the call."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    try:
        with torch.enable_grad():
            yield
    finally:
        torch.set_default_dtype(before)


def plain(tensor: Any) -> Any:
    """A tensor as it is without what a subclass adds, such as PINA's labels, which not every operation keeps."""
    return tensor if type(tensor) is torch.Tensor else tensor.as_subclass(torch.Tensor)


def array(tensor: Any) -> Array:
    """A tensor in NumPy, float64, contiguous by rows."""
    found = plain(tensor).detach().to(device="cpu", dtype=torch.float64)
    return np.ascontiguousarray(found.numpy())


def tensors(tree: Any, place: str) -> list[tuple[str, Any]]:
    """The leaves of a tensor, or of a dictionary, tuple or list of them, with where they stand."""
    if isinstance(tree, dict):
        return [leaf for name, part in tree.items() for leaf in tensors(part, f"{place}[{name!r}]")]
    if isinstance(tree, (tuple, list)):
        return [leaf for i, part in enumerate(tree) for leaf in tensors(part, f"{place}[{i}]")]
    return [(place, tree)]


class Blocks:
    """The form of y: a tensor, or a dictionary, tuple or list of named blocks, as a matrix (samples, m).

    ``whole`` says that y has no axis for samples: all of it is one row.
    """

    def __init__(self, tree: Any, place: str, whole: bool) -> None:
        self._place, self._lead = place, 0 if whole else 1
        self._tree = _form(tree)
        found = tensors(tree, place)
        if not found:
            raise TypeError(f"{place} has no tensors")
        for where, leaf in found:
            if not isinstance(leaf, torch.Tensor):
                raise TypeError(f"{where} is a {type(leaf).__name__}, expected a tensor")
            if not leaf.dtype.is_floating_point:
                raise TypeError(f"{where} has dtype {leaf.dtype}, expected real numbers")
        self.places = [where for where, _ in found]
        self.types = [leaf.dtype for _, leaf in found]
        self.shapes = [tuple(leaf.shape) for _, leaf in found]
        self._rests = [shape[self._lead :] for shape in self.shapes]
        self._widths = [int(np.prod(rest)) for rest in self._rests]
        self.width = sum(self._widths)
        if self.width == 0:
            raise ValueError(f"{place} is empty")

    def flat(self, tree: Any) -> Any:
        """Its numbers (samples, m) in double precision."""
        found = tensors(tree, self._place)
        places = [where for where, _ in found]
        if places != self.places:
            told = ", ".join(places)
            raise ValueError(
                f"{self._place} has the tensors {told}, expected {', '.join(self.places)}"
            )
        for (where, leaf), rest in zip(found, self._rests):
            if tuple(leaf.shape[self._lead :]) != rest or leaf.ndim < self._lead:
                raise ValueError(
                    f"{where} has shape {tuple(leaf.shape)} now and had {rest} a sample before: "
                    "the shape must stay"
                )
        rows = len(found[0][1]) if self._lead else 1
        return torch.cat([plain(leaf).double().reshape(rows, -1) for _, leaf in found], dim=1)

    def tree(self, flat: Any) -> Any:
        """(samples, m) in the form, with its types."""
        lead = (flat.shape[0],) if self._lead else ()
        parts = torch.split(flat, self._widths, dim=1)
        leaves = iter(
            part.reshape(*lead, *rest).to(dtype)
            for part, rest, dtype in zip(parts, self._rests, self.types)
        )
        return _built(self._tree, leaves)


def _form(tree: Any) -> Any:
    if isinstance(tree, dict):
        return {name: _form(part) for name, part in tree.items()}
    if isinstance(tree, tuple):
        parts = [_form(part) for part in tree]
        return type(tree)(*parts) if hasattr(tree, "_fields") else tuple(parts)
    if isinstance(tree, list):
        return [_form(part) for part in tree]
    return None


def _built(form: Any, leaves: Iterator[Any]) -> Any:
    if isinstance(form, dict):
        return {name: _built(part, leaves) for name, part in form.items()}
    if isinstance(form, tuple):
        parts = [_built(part, leaves) for part in form]
        return type(form)(*parts) if hasattr(form, "_fields") else tuple(parts)
    if isinstance(form, list):
        return [_built(part, leaves) for part in form]
    return next(leaves)


class Rows:
    """Rows of a derivative by passes backwards through one graph, many at a time where PyTorch can."""

    def __init__(self) -> None:
        self._batched = True

    def __call__(self, y: Any, of: list[Any], weights: Any) -> Any:
        """weights (k, *y.shape) → Σ weight·∂y/∂of, side by side (k, p)."""
        found = []
        for first in range(0, len(weights), ROWS):
            part = weights[first : first + ROWS]
            if self._batched:
                try:
                    found.append(self._at_once(y, of, part))
                    continue
                except RuntimeError:
                    # An operation without a rule for batches; single rows ask for none.
                    self._batched = False
            found += [side_by_side(pull(y, of, row), of)[None] for row in part]
        return torch.cat(found)

    @staticmethod
    def _at_once(y: Any, of: list[Any], weights: Any) -> Any:
        settings: Any = {"retain_graph": True, "allow_unused": True, "is_grads_batched": True}
        pulled = torch.autograd.grad(y, of, weights, **settings)
        zeros = (weights.new_zeros(len(weights), part.numel()) for part in of)
        parts = [
            zero if part is None else plain(part).reshape(len(weights), -1).double()
            for part, zero in zip(pulled, zeros)
        ]
        return torch.cat(parts, dim=1)


def pull(y: Any, of: list[Any], w: Any, again: bool = False) -> Any:
    """wᵀ·∂y/∂of, which can be differentiated again."""
    return torch.autograd.grad(y, of, w, retain_graph=True, create_graph=again, allow_unused=True)


def side_by_side(parts: Any, of: list[Any]) -> Any:
    """Derivatives in several tensors as one vector in double precision; None is 0."""
    filled = [like.new_zeros(like.shape) if part is None else part for part, like in zip(parts, of)]
    return torch.cat([plain(part).reshape(-1).double() for part in filled])


def push(y: Any, of: list[Any], v: list[Any]) -> Any:
    """∂y/∂of·v by two passes backwards: the derivative of w ↦ wᵀ·∂y/∂of along v."""
    w = torch.zeros_like(y, requires_grad=True)
    pulled = pull(y, of, w, again=True)
    pairs = [(part, along) for part, along in zip(pulled, v) if part is not None]
    pairs = [(part, along) for part, along in pairs if part.requires_grad]
    if not pairs:
        return torch.zeros_like(y)
    parts, alongs = zip(*pairs)
    (pushed,) = torch.autograd.grad(parts, w, alongs, retain_graph=True, allow_unused=True)
    return torch.zeros_like(y) if pushed is None else pushed


class Curvature:
    """The second derivatives of a loss in each component of y, by products with its second derivative."""

    def __init__(self, value: Callable[[Any], Any], y: Any) -> None:
        self._y = y.detach().clone().requires_grad_()
        (self._slope,) = torch.autograd.grad(
            value(self._y), self._y, create_graph=True, allow_unused=True
        )

    def along(self, v: Any) -> Any:
        """The second derivative times v, of the form of y."""
        if self._slope is None or not self._slope.requires_grad:
            return torch.zeros_like(self._y)
        (told,) = torch.autograd.grad(self._slope, self._y, v, retain_graph=True, allow_unused=True)
        return torch.zeros_like(self._y) if told is None else told

    def is_diagonal(self) -> bool:
        """Whether it mixes no components."""
        # Of different numbers: signs could hide a mixture of components.
        random = np.random.default_rng(0).uniform(1.0, 2.0, size=(2, *self._y.shape))
        first, second = (array(self.along(v) / v) for v in map(self._y.new_tensor, random))
        size = np.abs(first).max(initial=0.0)
        return bool(np.allclose(first, second, rtol=1e-9, atol=1e-12 * size))

    def diagonal(self, diagonal: bool, separable: bool) -> Any:
        """The diagonal; with ``separable`` rows of y do not mix."""
        y = self._y
        if diagonal:
            return self.along(torch.ones_like(y))
        told = torch.zeros_like(y)
        for i in range(y.shape[1]):
            for s in [slice(None)] if separable else range(y.shape[0]):
                unit = torch.zeros_like(y)
                unit[s, i] = 1.0
                told += unit * self.along(unit)
        return told
