"""What models of samples share, whatever they are written in."""

from __future__ import annotations

from typing import Any

import numpy as np

from ._answers import Answers, Indices
from ._arrays import Array

# Samples of an evaluation that are passed through the model at once.
CHUNK = 4096
# Samples on which assumptions are tried.
PROBE = 3
# Rows of J by passes through a whole batch that are asked for at once.
ROWS = 64


class SampledModel:
    """Samples by their numbers, those to judge by behind those to train on.

    Without samples all of y belongs to one.
    """

    #: Numbers of J held at once; none for the default.
    held: int | None = None
    #: How rows of J factor, where that is known.
    factors: Any = None
    #: Whether combinations of rows cost less than the rows.
    combines = True
    #: Whether the loss of a batch is the sum of its samples' losses, instead of their mean.
    summed = False
    name: str
    components: int
    samples: tuple[range, range]
    _separable: bool

    def __init__(
        self, predict: Any, loss: Any, per_sample: Any, curvature: Any, train: Any, test: Any
    ) -> None:
        for name, function in (("predict", predict), ("loss", loss)):
            if not callable(function):
                raise TypeError(f"{name} is a {type(function).__name__}, expected a function")
        if curvature is not None and not callable(curvature):
            raise TypeError(f"curvature is a {type(curvature).__name__}, expected a function")
        if not isinstance(per_sample, (bool, np.bool_)):
            raise TypeError(
                f"per_sample = {per_sample!r} is not possible: it must be True or False"
            )
        self._whole = train is None
        if self._whole and test is not None:
            raise ValueError("test samples were given without any to train on")
        self.name = getattr(predict, "__name__", type(predict).__name__)
        self.answers = Answers()
        self.told: list[tuple[str, str]] = []
        self.data = train, train if test is None else test
        self._per_sample = bool(per_sample) and not self._whole
        self._moved = 0

    def _numbers(self, indices: Indices) -> Any:
        """Where samples stand in the arrays."""
        moved = self.samples[0].stop - (0 if self._whole else self._moved)
        beyond = indices >= self.samples[0].stop
        return np.where(beyond, indices - moved, indices)

    def _parts(self, indices: Indices, divisible: bool) -> list[Any]:
        """Numbers of samples, a part at a time where samples are independent."""
        numbers = self._numbers(indices)
        if not divisible:
            return [numbers]
        return [numbers[first : first + CHUNK] for first in range(0, len(numbers), CHUNK)]

    def _check_independent(self, y: Array, alone: Array, double: bool) -> None:
        size = np.abs(y).max()
        rounding = 1e-9 if double else 1e-3
        near = np.isclose(alone, y, rtol=rounding, atol=rounding * size, equal_nan=True)
        if not near.all():
            s, i = (int(k) for k in np.argwhere(~near)[0])
            raise ValueError(
                f"{self.name} answers {y[s, i]:.6g} for training sample {s}, component {i}, in a batch of "
                f"{len(y)} and {alone[s, i]:.6g} for it alone: where samples depend on each other, as in "
                "batch normalisation, say per_sample=False; where an answer is random, give its key with "
                "the samples"
            )

    def _read_reduction(self, value: float, single: Array) -> None:
        """How the losses of samples make the loss of their batch."""
        mean = _near(value, single.mean())
        self.summed = not mean and _near(value, single.sum())
        self._separable = mean or self.summed

    def _check_widths(
        self, place: str, sizes: tuple[int, int], shapes: tuple[tuple[int, ...], tuple[int, ...]]
    ) -> None:
        """Refuses outputs of two batches that have no row for each sample."""
        for size, shape in zip(sizes, shapes):
            if shape[:1] != (size,):
                raise ValueError(
                    f"{place} has shape {shape} for {size} samples, expected ({size}, ...): a row for "
                    "each sample. Outputs that do not belong to samples are those of an objective "
                    "without train, predict(parameters) and loss(y)"
                )
        if shapes[0][1:] != shapes[1][1:]:
            raise ValueError(
                f"{place} has shape {shapes[0]} for {sizes[0]} samples and {shapes[1]} for "
                f"{sizes[1]}: a sample must have as many outputs in every batch"
            )


def _near(a: Any, b: Any) -> bool:
    return bool(abs(a - b) <= 1e-9 * max(abs(a), abs(b)))
