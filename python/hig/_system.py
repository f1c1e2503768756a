"""What all systems share: their problem, and what their sources recommend."""

from __future__ import annotations

from typing import Any

from . import _hig, methods
from ._data import Dataset
from ._problem import Problem
from ._settings import Settings, count, field_name
from .methods import Method
from .training import Training


class System(Settings):
    """A complete problem with settings: data, network, physics and loss."""

    _kind = "system"

    def problem(
        self,
        seed: int = 0,
        *,
        train: Dataset | None = None,
        test: Dataset | None = None,
        memory_limit: float = 8.0,
    ) -> Problem:
        """Data and network for a seed; given samples take the place of the system's own.

        Settings with which samples and parameters would take more than ``memory_limit`` (GiB) raise
        ``MemoryError``.
        """
        seed = count("seed", seed)
        return Problem.of_system(self.name, self._assignments(), seed, train, test, memory_limit)

    def method(self, name: str, **settings: Any) -> Method:
        """A method with the settings that the system's source recommends, and these over them."""
        recommended, _ = _hig.recommended(self.name, self._assignments(), name)
        return methods.ALL[name](**{**_fields(recommended), **settings})

    def training(self, name: str, **settings: Any) -> Training:
        """How to train with a method as the system's source recommends, and these over it.

        A method without recommendation takes the batch and the order of HIG, or of Adam where it
        asks for no more than a gradient.
        """
        _, recommended = _hig.recommended(self.name, self._assignments(), name)
        return Training(**{**_fields(recommended), **settings})

    def recommendation(self, name: str) -> dict[str, str]:
        """The settings of a method and its training in the source's comparison, as text."""
        comparison, _ = _hig.comparison(self.name, self._assignments())
        return dict(dict(comparison).get(name, []))

    @property
    def budget(self) -> tuple[int | None, float | None, float | None]:
        """Updates, epochs and seconds of a comparison that takes a minute or less."""
        return _hig.comparison(self.name, self._assignments())[1]


def _fields(settings: dict[str, Any]) -> dict[str, Any]:
    return {field_name(name): value for name, value in settings.items()}
