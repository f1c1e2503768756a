"""What the output of the physics is judged by."""

from __future__ import annotations

from dataclasses import dataclass

from numpy.typing import ArrayLike

from ._arrays import double


@dataclass(frozen=True)
class SquaredError:
    """factor · Σᵢ weightᵢ · (yᵢ - ŷᵢ)², averaged over the batch.

    Parameters
    ----------
    factor : 1 or 1/2
    weights : one positive number for each component of y; all 1 without
    """

    factor: float = 1.0
    weights: ArrayLike | None = None

    def _told(self) -> tuple[str, list[float]]:
        names = {1.0: "sum", 0.5: "half"}
        if self.factor not in names:
            raise ValueError(f"factor = {self.factor} is not possible: it must be 1 or 0.5")
        if self.weights is None:
            return names[self.factor], []
        return names[self.factor], double("weights", self.weights, 1).tolist()


@dataclass(frozen=True)
class Infidelity:
    """1 - |⟨ŷ|y⟩|², for states of unit norm as real and imaginary parts, interleaved."""

    def _told(self) -> tuple[str, list[float]]:
        return "infidelity", []


Loss = SquaredError | Infidelity
