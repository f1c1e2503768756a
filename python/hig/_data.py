"""Samples to train on and to judge by."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from ._arrays import Array, by_rows


@dataclass(frozen=True, eq=False)
class Dataset:
    """Samples in rows: what the network reads, what should come out, where the physics starts.

    Parameters
    ----------
    input : (samples, network inputs)
    target : (samples, outputs of the physics)
    state : (samples, states of the physics), or None where the input is the state
    """

    input: Array
    target: Array
    state: Array

    def __init__(self, input: ArrayLike, target: ArrayLike, state: ArrayLike | None = None) -> None:
        like = "(samples, width)"
        put = object.__setattr__
        put(self, "input", by_rows("input", input, like=like))
        put(self, "target", by_rows("target", target, like=like))
        put(self, "state", self.input if state is None else by_rows("state", state, like=like))

    def __len__(self) -> int:
        return len(self.input)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Dataset):
            return NotImplemented
        return all(np.array_equal(a, b) for a, b in zip(self._arrays(), other._arrays()))

    def __hash__(self) -> int:
        return hash(tuple(array.shape for array in self._arrays()))

    def __repr__(self) -> str:
        shapes = [f"{name}={getattr(self, name).shape}" for name in ("input", "target", "state")]
        return f"Dataset({', '.join(shapes)})"

    def _arrays(self) -> tuple[Array, Array, Array]:
        return self.input, self.state, self.target
