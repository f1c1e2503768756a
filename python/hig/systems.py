"""The systems of the library, one class each, with their settings as fields.

>>> hig.systems.NonlinearOscillators(masses=2)

``ALL`` has every class by its registered name (``"toy"``, ``"poisson"``, …).
"""

from __future__ import annotations

from . import _hig
from ._settings import make
from ._system import System

ALL: dict[str, type[System]] = {
    name: make(System, __name__, name, about, told) for name, about, told in _hig.systems()
}
globals().update({made.__name__: made for made in ALL.values()})
__all__ = ["ALL", "System", *(made.__name__ for made in ALL.values())]
