"""Problems: data, network, physics and loss that belong together."""

from __future__ import annotations

import os
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from . import _hig
from ._arrays import Array, by_rows, double
from ._data import Dataset
from ._settings import count
from .losses import Infidelity, Loss, SquaredError
from .networks import Network
from .physics import Simulator
from .physics._adapter import Adapter


def told_loss(loss: Loss | None) -> tuple[str, list[float]]:
    """A loss as the compiled half knows it: its name and its weights; without any Σ (y - ŷ)²."""
    loss = SquaredError() if loss is None else loss
    if not isinstance(loss, (SquaredError, Infidelity)):
        raise TypeError(
            f"loss is a {type(loss).__name__}, expected one of hig.losses, such as "
            "hig.losses.SquaredError(); a function of your own is the loss of a hig.Objective, "
            "hig.jax.objective(predict, loss, parameters, train) for one"
        )
    return loss._told()


class Problem:
    """Everything that a training needs besides a method: y = simulate(state, network(input)).

    Parameters
    ----------
    network : the network, from :mod:`hig.networks`; its output is the control of the simulator
    simulator : see :class:`hig.physics.Simulator`
    train : samples to train on
    test : samples to judge by; the training samples without
    loss : from :mod:`hig.losses`; Σ (y - ŷ)² without
    """

    _parts: tuple[Any, ...]

    def __init__(
        self,
        network: Network,
        simulator: Simulator,
        train: Dataset,
        test: Dataset | None = None,
        loss: Loss | None = None,
    ) -> None:
        test = train if test is None else test
        self._adapter = Adapter(simulator, train.target.shape[1])
        name, weights = told_loss(loss)
        samples = train._arrays(), test._arrays()
        self._parts = network, loss
        self._compiled = _hig.Problem.own(network, self._adapter, name, weights, *samples)

    @classmethod
    def of_system(
        cls,
        name: str,
        assignments: list[tuple[str, str]],
        seed: int,
        train: Dataset | None = None,
        test: Dataset | None = None,
        memory_limit: float = 8.0,
    ) -> Problem:
        """The problem of a system of the library, by its name and settings, of which samples and
        parameters may take ``memory_limit`` (GiB)."""
        problem = cls.__new__(cls)
        problem._adapter = None  # type: ignore[assignment]
        problem._parts = name, assignments, seed, train, test, memory_limit
        problem._compiled = _hig.Problem.system(
            name,
            assignments,
            seed,
            None if train is None else train._arrays(),
            None if test is None else test._arrays(),
            memory_limit,
        )
        return problem

    def __reduce__(self) -> tuple[Any, ...]:
        # Made again from its parts: what is compiled is not copied.
        if self._adapter is None:
            return Problem.of_system, self._parts
        network, loss = self._parts
        simulator = self._adapter.simulator
        return Problem, (network, simulator, self.train, self.test, loss)

    @property
    def name(self) -> str:
        """That of the system, or the class of the simulator or model."""
        return str(self._parts[0]) if self._adapter is None else str(self._adapter.name)

    @property
    def train(self) -> Dataset:
        """The samples to train on."""
        return self._samples(test=False)

    @property
    def test(self) -> Dataset:
        """The samples to judge by."""
        return self._samples(test=True)

    def _samples(self, test: bool) -> Dataset:
        samples, state, target = self._compiled.samples(test)
        return Dataset(samples, target, state)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes of the arrays that the flat weights consist of, in order."""
        return {name: tuple(shape) for name, shape in self._compiled.views}

    def parameters(self, weights: ArrayLike) -> Any:
        """Weights (p,) as a dictionary of the arrays that :attr:`shapes` names."""
        flat = double("weights", weights, 1)
        ends = np.cumsum([int(np.prod(shape)) for shape in self.shapes.values()])
        if ends[-1] != len(flat):
            raise ValueError(f"weights have shape {flat.shape}, expected ({ends[-1]},)")
        parts = np.split(flat, ends[:-1])
        return {name: part.reshape(s) for (name, s), part in zip(self.shapes.items(), parts)}

    def initial_weights(self, seed: int = 0, *, memory_limit: float = 8.0) -> Array:
        """Random weights (p,) by the network's initializer; more than ``memory_limit`` (GiB) of them raise
        ``MemoryError``."""
        return self._compiled.initial_parameters(count("seed", seed), memory_limit)

    def predict(self, weights: ArrayLike, input: ArrayLike) -> Array:
        """Output of the network (samples, control) for inputs (samples, inputs): all controls, or, where it is
        called in the time steps of a simulation, those of one step for what it sees in it."""
        return self._compiled.predict(double("weights", weights, 1), by_rows("input", input))

    def simulate(
        self, weights: ArrayLike, input: ArrayLike, state: ArrayLike | None = None
    ) -> Array:
        """Output of the physics (samples, outputs) under the network's control.

        Without ``state`` the input is the state. Where a network is called in the time steps of a simulation,
        ``input`` is what it sees beside the state, which may have no columns; ``train`` and ``test`` have both.
        """
        read = by_rows("input", input)
        start = read if state is None else by_rows("state", state)
        return self._compiled.simulate(double("weights", weights, 1), read, start)

    def motion(self, weights: ArrayLike, input: ArrayLike, state: ArrayLike) -> tuple[Array, Array]:
        """How samples move under a network that is called in the time steps of a simulation: the states at the
        start and after each step (steps + 1, samples, state), and the controls during each (steps, samples,
        control)."""
        read, start = by_rows("input", input), by_rows("state", state)
        found = self._compiled.motion(double("weights", weights, 1), read, start)
        states, controls = (np.stack(part) for part in found)
        return states, controls

    def unknowns(self, weights: ArrayLike) -> dict[str, tuple[float, float]]:
        """Value and standard error of every unknown of the physics, where the loss tells standard errors."""
        found = self._compiled.estimates(double("weights", weights, 1))
        return {name: (value, error) for name, value, error in found}

    def loss(self, weights: ArrayLike) -> tuple[float, float]:
        """Mean loss of the training and of the test samples."""
        return self._compiled.losses(double("weights", weights, 1))

    def save_weights(self, weights: ArrayLike, path: str | os.PathLike[str]) -> None:
        """Writes a safetensors file, with the names that PyTorch gives."""
        self._compiled.save_parameters(double("weights", weights, 1), os.fspath(path))

    def load_weights(self, path: str | os.PathLike[str]) -> Array:
        """Reads such a file, also one that ``hig run`` has left."""
        return self._compiled.load_parameters(os.fspath(path))
