"""Rows of J from the factors of a few passes backwards, where rows belong to different points.

A parameter's derivative of Σ_r w_r·y_r is a sum over the points at which layers were called, of outer products of
what went in and what came back: of a product of matrices, ``Σ_s left_s ⊗ right_s``. Where no point belongs to two
rows, these are the parts of J itself, and one pass backwards has all of them, also through derivatives in the
input. Which row a point belongs to is seen from a second pass with other weights; a third one, with weights
drawn at random, checks the whole.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from ._torch_tools import plain, pull, side_by_side

# Numbers of J that are made: half a gibibyte.
_MOST = 2**26
# Left factors (points, a), none for 1, and right ones (points, b).
Term = tuple[Any, Any]


class NotFactored(Exception):
    """The rows are no sums over points of their own."""


class _Terms(TorchDispatchMode):
    """Follows sums over points through a pass backwards."""

    def __init__(self) -> None:
        super().__init__()
        # With the tensors, so that an identity belongs to no other one.
        self._found: dict[int, tuple[Any, list[Term]]] = {}

    def of(self, tensor: Any) -> list[Term]:
        """The terms that a tensor is the sum of."""
        if id(tensor) not in self._found:
            raise NotFactored
        return self._found[id(tensor)][1]

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        terms = self._terms(str(func), args)
        if terms is not None:
            self._found[id(out)] = out, terms
        else:
            # An operation in place leaves the tensor, but not what was known of it.
            self._found.pop(id(out), None)
        return out

    def _known(self, tensor: Any) -> list[Term] | None:
        found = self._found.get(id(tensor))
        return None if found is None else found[1]

    def _terms(self, name: str, args: Any) -> list[Term] | None:
        if name == "aten.mm.default":
            return [(plain(args[0]).t(), plain(args[1]))]
        if name in ("aten.sum.default", "aten.sum.dim_IntList"):
            return self._summed(args)
        known = self._known(args[0]) if args else None
        if known is None:
            return None
        if name in ("aten.add.Tensor", "aten.add_.Tensor"):
            other = self._known(args[1])
            return None if other is None else known + other
        if name in ("aten.detach.default", "aten.alias.default", "aten.clone.default"):
            return known
        flat = all(left is None for left, _ in known)
        if name in ("aten.t.default", "aten.transpose.int"):
            return None if flat else [(right, left) for left, right in known]
        if flat and name in ("aten.view.default", "aten.squeeze.dim", "aten._unsafe_view.default"):
            return known
        return None

    @staticmethod
    def _summed(args: Any) -> list[Term] | None:
        summed = plain(args[0])
        if summed.ndim not in (1, 2):
            return None
        dims = sorted(args[1]) if len(args) > 1 and args[1] else list(range(summed.ndim))
        if dims == [0]:
            return [(None, summed if summed.ndim == 2 else summed[:, None])]
        if dims == [0, 1]:
            return [(None, summed.sum(1, keepdim=True))]
        return None


def rows(y: Any, of: list[Any], blocks: list[Any]) -> Any:
    """∂y/∂of (n, p) in double precision. ``blocks`` are places in y (n,), of which no two have a point in common.

    Raises
    ------
    NotFactored
        A point belongs to several of them, or a parameter is used in another way than layers do.
    """
    widths = [part.numel() for part in of]
    found = torch.zeros(len(y), sum(widths), dtype=torch.float64, device=y.device)
    random = np.random.default_rng(0)
    for block in blocks:
        number = len(block)
        order = random.permutation(number)
        weights = torch.as_tensor(1.0 + order / number, device=y.device)
        row_of = torch.as_tensor(np.argsort(order), device=y.device)
        plain = _pass(y, of, block, torch.ones_like(weights))
        weighted = _pass(y, of, block, weights)
        part = torch.cat(
            [
                _placed(terms, others, number, row_of, tuple(like.shape))
                for terms, others, like in zip(plain, weighted, of)
            ],
            dim=1,
        )
        _check(y, of, block, part, random)
        found[block] = part
    return found


def tried(y: Any, of: list[Any], blocks: list[Any], known: bool | None) -> tuple[Any, bool | None]:
    """The rows where they are sums over points of their own and that is worth it, or none; and whether that is
    known of the model. What has succeeded once is tried again after a failure, which rounding can be."""
    worth = 3 * len(blocks) < len(y) and len(y) * sum(part.numel() for part in of) <= _MOST
    if known is False or not worth:
        return None, known
    try:
        return rows(y, of, blocks), True
    except (NotFactored, RuntimeError):
        return None, bool(known)


def _cotangent(y: Any, block: Any, weights: Any) -> Any:
    cotangent = torch.zeros_like(y)
    cotangent[block] = weights.to(y.dtype)
    return cotangent


def _pass(y: Any, of: list[Any], block: Any, weights: Any) -> list[list[Term]]:
    cotangent = _cotangent(y, block, weights)
    with _Terms() as terms:
        pulled = pull(y, of, cotangent)
    return [[] if part is None else terms.of(part) for part in pulled]


def _placed(
    terms: list[Term], others: list[Term], number: int, row_of: Any, shape: tuple[int, ...]
) -> Any:
    """The rows of a block for one parameter (number, width)."""
    width = int(np.prod(shape))
    found = torch.zeros(number, width, dtype=torch.float64, device=row_of.device)
    if len(terms) != len(others):
        raise NotFactored
    for (left, right), (other_left, other_right) in zip(terms, others):
        right = right.double()
        left = None if left is None else left.double()
        if (right.shape[1] if left is None else left.shape[1] * right.shape[1]) != width:
            raise NotFactored
        size, along = (right * right).sum(1), (right * other_right.double()).sum(1)
        if left is not None:
            size, along = size * (left * left).sum(1), along * (left * other_left.double()).sum(1)
        # What is far below rounding of the others is none of J, and its square may have no digits.
        there = size > 1e-28 * size.max()
        place = (along[there] / size[there] - 1.0) * number
        nearest = place.round()
        if bool(((place - nearest).abs() > 0.1).any()) or bool(
            ((nearest < 0) | (nearest >= number)).any()
        ):
            raise NotFactored
        each = right[there]
        if left is not None:
            each = (left[there][:, :, None] * each[:, None, :]).reshape(-1, width)
        found.index_add_(0, row_of[nearest.long()], each)
    return found


def _check(y: Any, of: list[Any], block: Any, part: Any, random: Any) -> None:
    weights = torch.as_tensor(random.normal(size=len(block)), device=y.device)
    pulled = pull(y, of, _cotangent(y, block, weights))
    expected, made = side_by_side(pulled, of), weights @ part
    rounding = 1e-9 if y.dtype == torch.float64 and of[0].dtype == torch.float64 else 1e-3
    size = (weights.abs() @ part.abs()).max()
    if not bool(((made - expected).abs() <= rounding * size).all()):
        raise NotFactored


def columns(shapes: list[tuple[int, ...]]) -> list[Any]:
    """Places in y, which has arrays of these shapes one after the other: for each component of each array the
    rows along its first axis."""
    found, first = [], 0
    for shape in shapes:
        width = int(np.prod(shape[1:]))
        number = shape[0] if shape else 1
        found += [first + i + width * torch.arange(number) for i in range(width)]
        first += number * width
    return [places for places in found if len(places)]
