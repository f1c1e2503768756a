"""The compiled half."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, final

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "Factors",
    "Network",
    "Problem",
    "canonical",
    "check_simulator",
    "comparison",
    "diagnostics",
    "for_given_samples",
    "gram_step",
    "half_inverse",
    "methods",
    "program",
    "reason",
    "recommended",
    "spectral_step",
    "step",
    "systems",
    "train",
    "training_settings",
    "try_checkpoint",
]

_Array = NDArray[np.float64]
_Samples = tuple[_Array, _Array, _Array]
_Assignments = list[tuple[str, str]]
_Budget = tuple[int | None, float | None, float | None]
_Told = tuple[str, Any, str, str, list[str]]

def half_inverse(jacobian: _Array, settings: _Assignments) -> _Array: ...
def spectral_step(jacobian: _Array, gradient: _Array, settings: _Assignments) -> _Array: ...
def gram_step(gram: _Array, gradient: _Array, settings: _Assignments) -> _Array: ...
def systems() -> list[tuple[str, str, list[_Told]]]: ...
def methods() -> list[tuple[str, str, list[_Told]]]: ...
def training_settings() -> list[_Told]: ...
def canonical(kind: str, name: str, assignments: _Assignments) -> dict[str, Any]: ...
def recommended(
    name: str, assignments: _Assignments, method: str
) -> tuple[dict[str, Any], dict[str, Any]]: ...
def for_given_samples(assignments: _Assignments) -> tuple[dict[str, Any], str | None]: ...
def comparison(
    name: str, assignments: _Assignments
) -> tuple[list[tuple[str, list[tuple[str, str]]]], _Budget]: ...
def check_simulator(
    adapter: object, outputs: int, state: _Array, control: _Array
) -> tuple[list[float], list[str]]: ...
def step(
    adapter: object,
    method: tuple[str, _Assignments],
    learning_rate: float | None,
    seed: int,
    parameters: _Array,
    samples: int,
    state: bytes | None,
) -> tuple[_Array, float, bytes, list[tuple[str, float]]]: ...
def diagnostics() -> list[str]: ...
def try_checkpoint(path: str) -> None: ...
def train(
    problem: Problem,
    method: tuple[str, _Assignments],
    training: _Assignments,
    budget: _Budget,
    seed: int,
    parameters: _Array,
    callback: Callable[[dict[str, Any], _Array], bool] | None,
    warn: Callable[[int, str, str, str], None],
    tick: Callable[..., None] | None,
    checkpoint: tuple[str, float, bool] | None,
) -> tuple[dict[str, Any], BaseException | None]: ...

@final
class Factors:
    def __new__(
        cls,
        weights: list[tuple[int, int, list[bool], NDArray[np.int64]]],
        rest: NDArray[np.int64],
        columns: int,
    ) -> Factors: ...
    def step(
        self,
        given: tuple[list[tuple[_Array, _Array]], _Array],
        samples: int,
        gradient: _Array,
        settings: _Assignments,
    ) -> _Array: ...

@final
class Network:
    @staticmethod
    def mlp(widths: list[int], activation: str, initializer: str) -> Network: ...
    @staticmethod
    def resnet(
        shape: tuple[int, int, int],
        channels: list[int],
        outputs: int,
        edge: str,
        activation: str,
        initializer: str,
    ) -> Network: ...
    @staticmethod
    def unet(
        shape: tuple[int, int, int],
        channels: list[int],
        outputs: int,
        edge: str,
        activation: str,
        initializer: str,
    ) -> Network: ...
    @property
    def inputs(self) -> int: ...
    @property
    def outputs(self) -> int: ...
    @property
    def parameter_count(self) -> int: ...

@final
class Problem:
    @staticmethod
    def system(
        name: str,
        settings: _Assignments,
        seed: int,
        train: _Samples | None,
        test: _Samples | None,
        memory_limit: float,
    ) -> Problem: ...
    @staticmethod
    def own(
        network: Network,
        adapter: object,
        loss: str,
        weights: list[float],
        train: _Samples,
        test: _Samples,
    ) -> Problem: ...
    @staticmethod
    def steered(parts: dict[str, Any], train: _Samples, test: _Samples) -> Problem: ...
    @staticmethod
    def field(
        network: Network,
        blocks: list[Any],
        unknowns: list[tuple[str, float, str, float, float]],
        judged: Any,
        candidates: int,
        weights: str,
        seed: int,
    ) -> Problem: ...
    def blocks(self, parameters: _Array) -> list[tuple[str, float]]: ...
    def block_weights(self) -> list[tuple[str, float]]: ...
    def estimates(self, parameters: _Array) -> list[tuple[str, float, float]]: ...
    def derivative(self, parameters: _Array, points: _Array, along: list[int]) -> _Array: ...
    @staticmethod
    def model(
        adapter: object, samples: tuple[int, int], told: list[tuple[str, str]]
    ) -> Problem: ...
    def outputs(self, parameters: _Array, first: int, count: int) -> _Array: ...
    @property
    def widths(self) -> tuple[int, int, int, int]: ...
    @property
    def views(self) -> list[tuple[str, list[int]]]: ...
    @property
    def draws(self) -> bool: ...
    def samples(self, test: bool) -> _Samples: ...
    def initial_parameters(self, seed: int, memory_limit: float) -> _Array: ...
    def predict(self, parameters: _Array, input: _Array) -> _Array: ...
    def simulate(self, parameters: _Array, input: _Array, state: _Array) -> _Array: ...
    def motion(
        self, parameters: _Array, input: _Array, state: _Array
    ) -> tuple[list[_Array], list[_Array]]: ...
    def losses(self, parameters: _Array) -> tuple[float, float]: ...
    def save_parameters(self, parameters: _Array, path: str | Path) -> None: ...
    def load_parameters(self, path: str | Path) -> _Array: ...

def program(program: list[str], arguments: list[str]) -> int: ...
def reason(stop: str) -> str: ...
